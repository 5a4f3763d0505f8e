package cases;

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;

/** A database in memory. */
final class H2 implements Case {
    @Override
    public void run() throws Exception {
        try (Connection connection = DriverManager.getConnection("jdbc:h2:mem:test")) {
            try (Statement s = connection.createStatement()) {
                s.execute("CREATE TABLE item(id INT PRIMARY KEY, name VARCHAR(20), price DECIMAL(10,2), made TIMESTAMP)");
            }
            try (PreparedStatement p = connection.prepareStatement("INSERT INTO item VALUES(?, ?, ?, TIMESTAMP '2020-01-02 03:04:05')")) {
                for (int i = 0; i < 3; i++) {
                    p.setInt(1, i);
                    p.setString(2, "n" + i);
                    p.setBigDecimal(3, java.math.BigDecimal.valueOf(i * 100 + 5, 2));
                    p.executeUpdate();
                }
            }
            try (Statement s = connection.createStatement();
                    ResultSet r = s.executeQuery("SELECT UPPER(name), SUM(price) OVER (ORDER BY id), made FROM item WHERE name LIKE 'n%' ORDER BY id DESC")) {
                while (r.next()) {
                    System.out.println(r.getString(1) + " " + r.getBigDecimal(2) + " " + r.getTimestamp(3));
                }
            }
            try (Statement s = connection.createStatement()) {
                s.execute("SELECT * FROM none");
            } catch (SQLException e) {
                System.out.println(e.getSQLState() + " " + e.getMessage());
            }
        }
    }
}
