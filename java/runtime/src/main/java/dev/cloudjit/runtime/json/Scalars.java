package dev.cloudjit.runtime.json;

import java.math.BigInteger;

/** Codecs of strings, numbers, booleans and enums. Coercions between them are left to the published library. */
final class Scalars {
    private Scalars() {}

    /** Null: not a scalar. */
    static Codec of(Class<?> type) {
        if (type == String.class) {
            return new StringCodec();
        }
        if (type == boolean.class || type == Boolean.class) {
            return new BooleanCodec(type);
        }
        int kind = NumberCodec.kind(type);
        if (kind != 0) {
            return new NumberCodec(kind, type);
        }
        return type.isEnum() ? new EnumCodec(type) : null;
    }

    /** What a null in the document sets: zero for primitives. */
    private static Object defaultOf(Class<?> type) {
        if (type == int.class) {
            return 0;
        }
        if (type == long.class) {
            return 0L;
        }
        if (type == double.class) {
            return 0.0;
        }
        if (type == float.class) {
            return 0f;
        }
        if (type == boolean.class) {
            return Boolean.FALSE;
        }
        if (type == short.class) {
            return (short) 0;
        }
        if (type == byte.class) {
            return (byte) 0;
        }
        return null;
    }

    private static final class StringCodec extends Codec {
        @Override
        Object read(JsonReader in) {
            switch (in.peek()) {
                case '"':
                    return in.readString();
                case 'n':
                    in.takeNull();
                    return null;
                case '0':
                    return in.readNumber();
                case 't':
                case 'f':
                    return in.readBoolean() ? "true" : "false";
                case '{':
                    throw new MalformedJson("an object where a string is expected");
                default:
                    throw new Doubt("array for a string");
            }
        }
    }

    private static final class BooleanCodec extends Codec {
        private final Object absent;

        BooleanCodec(Class<?> type) {
            absent = defaultOf(type);
        }

        @Override
        Object read(JsonReader in) {
            switch (in.peek()) {
                case 't':
                case 'f':
                    return in.readBoolean();
                case 'n':
                    in.takeNull();
                    return absent;
                default:
                    throw new Doubt("not a boolean");
            }
        }
    }

    private static final class NumberCodec extends Codec {
        private static final int INT = 1;
        private static final int LONG = 2;
        private static final int DOUBLE = 3;
        private static final int FLOAT = 4;
        private static final int SHORT = 5;
        private static final int BYTE = 6;
        private static final int BIG = 7;

        private final int kind;
        private final Object absent;

        NumberCodec(int kind, Class<?> type) {
            this.kind = kind;
            this.absent = defaultOf(type);
        }

        static int kind(Class<?> type) {
            if (type == int.class || type == Integer.class) {
                return INT;
            }
            if (type == long.class || type == Long.class) {
                return LONG;
            }
            if (type == double.class || type == Double.class) {
                return DOUBLE;
            }
            if (type == float.class || type == Float.class) {
                return FLOAT;
            }
            if (type == short.class || type == Short.class) {
                return SHORT;
            }
            if (type == byte.class || type == Byte.class) {
                return BYTE;
            }
            return type == BigInteger.class ? BIG : 0;
        }

        @Override
        Object read(JsonReader in) {
            char c = in.peek();
            if (c == 'n') {
                in.takeNull();
                return absent;
            }
            if (c != '0') {
                throw new Doubt("not a number");
            }
            String digits = in.readNumber();
            if (kind == DOUBLE) {
                return JsonReader.number(digits).doubleValue();
            }
            if (kind == FLOAT) {
                return JsonReader.isInteger(digits) ? JsonReader.number(digits).floatValue() : Float.valueOf(digits);
            }
            if (!JsonReader.isInteger(digits)) {
                throw new Doubt("fraction for an integer");
            }
            BigInteger exact = digits.length() > 18 || kind == BIG ? new BigInteger(digits) : null;
            if (kind == BIG) {
                return exact;
            }
            int bits = kind == INT ? 31 : kind == LONG ? 63 : kind == SHORT ? 15 : 7;
            if (exact != null && exact.bitLength() > bits) {
                throw new Doubt("overflow");
            }
            long value = exact != null ? exact.longValue() : Long.parseLong(digits);
            if (value >> bits != 0 && value >> bits != -1) {
                throw new Doubt("overflow");
            }
            switch (kind) {
                case INT:
                    return (int) value;
                case SHORT:
                    return (short) value;
                case BYTE:
                    return (byte) value;
                default:
                    return value;
            }
        }
    }

    private static final class EnumCodec extends Codec {
        private final Class<?> type;

        EnumCodec(Class<?> type) {
            this.type = type;
        }

        @Override
        Object read(JsonReader in) {
            if (in.takeNull()) {
                return null;
            }
            if (in.peek() != '"') {
                throw new Doubt("not the name of a constant");
            }
            String name = in.readString();
            for (Object constant : type.getEnumConstants()) {
                if (((Enum<?>) constant).name().equals(name)) {
                    return constant;
                }
            }
            throw new Doubt("unknown constant");
        }
    }
}
