package cases;

import java.net.InetAddress;
import java.net.ServerSocket;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.util.Properties;

/** The driver against a port where nobody listens: loading, properties, connecting, error texts. */
final class PostgreSql implements Case {
    @Override
    public void run() throws Exception {
        int port;
        try (ServerSocket free = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            port = free.getLocalPort();
        }
        Properties properties = new Properties();
        properties.setProperty("user", "u");
        properties.setProperty("password", "p");
        properties.setProperty("sslmode", "prefer");
        System.out.println(DriverManager.getDriver("jdbc:postgresql://localhost/db").getMajorVersion());
        try {
            DriverManager.getConnection("jdbc:postgresql://127.0.0.1:" + port + "/db", properties).close();
        } catch (SQLException e) {
            System.out.println(e.getSQLState() + " " + e.getMessage().replace(Integer.toString(port), "PORT"));
        }
        try {
            DriverManager.getConnection("jdbc:postgresql://127.0.0.1:" + port + "/db?socketFactory=no.such.Factory", properties).close();
        } catch (SQLException e) {
            System.out.println(e.getSQLState() + " " + e.getMessage());
        }
    }
}
