package cases;

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;

/** A driver with a native library in its jar. */
final class Sqlite implements Case {
    @Override
    public void run() throws Exception {
        try (Connection connection = DriverManager.getConnection("jdbc:sqlite::memory:"); Statement s = connection.createStatement()) {
            s.execute("CREATE TABLE t(a INTEGER, b TEXT)");
            s.execute("INSERT INTO t VALUES(1, 'x'), (2, 'y')");
            try (ResultSet r = s.executeQuery("SELECT group_concat(b), sum(a) FROM t")) {
                System.out.println(r.next() + " " + r.getString(1) + " " + r.getInt(2));
            }
            try {
                s.execute("SELECT * FROM none");
            } catch (SQLException e) {
                System.out.println(e.getMessage());
            }
        }
    }
}
