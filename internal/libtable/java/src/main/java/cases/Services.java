package cases;

/** The image of the libraries for databases, networks and pages. */
public final class Services {
    public static void main(String[] arguments) {
        Case.main(switch (arguments[0]) {
            case "logback" -> new Logback();
            case "h2" -> new H2();
            case "postgresql" -> new PostgreSql();
            case "sqlite" -> new Sqlite();
            case "httpclient5" -> new HttpClient5();
            case "hibernate-validator" -> new HibernateValidator();
            case "thymeleaf" -> new ThymeleafCase();
            case "jakarta-mail" -> new Mail();
            case "aws-sdk" -> new AwsSdk();
            default -> throw new IllegalArgumentException(arguments[0]);
        });
    }
}
