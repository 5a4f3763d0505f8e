package cases;

import java.util.ListResourceBundle;
import java.util.Locale;
import java.util.MissingResourceException;
import java.util.ResourceBundle;

/** Resource bundles: properties, classes, languages, none. */
final class Bundles implements Case {
    public static class Texts extends ListResourceBundle {
        @Override
        protected Object[][] getContents() {
            return new Object[][] {{"hello", "class"}};
        }
    }

    @Override
    public void run() {
        System.out.println(ResourceBundle.getBundle("data.messages", Locale.ROOT).getString("hello"));
        System.out.println(ResourceBundle.getBundle("data.messages", Locale.ENGLISH).getString("hello"));
        System.out.println(ResourceBundle.getBundle("cases.Bundles$Texts", Locale.ROOT).getString("hello"));
        try {
            ResourceBundle.getBundle("data.none", Locale.ROOT);
        } catch (MissingResourceException e) {
            System.out.println(e.getMessage());
        }
        System.out.println(String.format(Locale.ENGLISH, "%,d %tB", 1234567, java.time.LocalDate.EPOCH));
    }
}
