package shop;

final class Money {
    private Money() {}

    static String of(long cents) {
        long rest = cents % 100;
        return cents / 100 + (rest < 10 ? ".0" : ".") + rest + " EUR";
    }
}
