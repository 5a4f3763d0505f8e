package cases;

/** The image of the JDK's own dynamic features. */
public final class Platform {
    public static void main(String[] arguments) {
        Case.main(switch (arguments[0]) {
            case "reflection" -> new Reflection();
            case "method-handles" -> new Handles();
            case "serialization" -> new Serialization();
            case "lambdas" -> new Lambdas();
            case "images" -> new Images();
            case "proxies" -> new Proxies();
            case "resources" -> new ResourcesCase();
            case "bundles" -> new Bundles();
            case "services" -> new ServiceLoading();
            case "missing" -> new Missing();
            case "storm" -> new Storm();
            case "jdk-xml" -> new JdkXml();
            case "jdk-beans" -> new JdkBeans();
            case "annotations" -> new Annotations();
            case "jdk-services" -> new JdkServices();
            case "control" -> new Control();
            default -> throw new IllegalArgumentException(arguments[0]);
        });
    }
}
