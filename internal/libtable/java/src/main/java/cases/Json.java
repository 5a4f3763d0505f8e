package cases;

/** The image of the libraries for JSON and XML. */
public final class Json {
    public static void main(String[] arguments) {
        Case.main(switch (arguments[0]) {
            case "jackson" -> new Jackson();
            case "gson" -> new GsonCase();
            case "xstream" -> new XStreamCase();
            case "jaxb" -> new Jaxb();
            case "lambda-events" -> new LambdaEvents();
            default -> throw new IllegalArgumentException(arguments[0]);
        });
    }
}
