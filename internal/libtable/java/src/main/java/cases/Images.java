package cases;

import java.awt.Color;
import java.awt.Font;
import java.awt.Graphics2D;
import java.awt.Image;
import java.awt.RenderingHints;
import java.awt.geom.Ellipse2D;
import java.awt.image.BufferedImage;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import javax.imageio.ImageIO;

/** Drawing, scaling, text and the image formats of the JDK, without a screen. */
final class Images implements Case {
    @Override
    public void run() throws Exception {
        System.setProperty("java.awt.headless", "true");
        BufferedImage image = new BufferedImage(200, 100, BufferedImage.TYPE_INT_RGB);
        Graphics2D graphics = image.createGraphics();
        graphics.setRenderingHint(RenderingHints.KEY_ANTIALIASING, RenderingHints.VALUE_ANTIALIAS_ON);
        graphics.setColor(Color.ORANGE);
        graphics.fill(new Ellipse2D.Double(10, 10, 80, 60));
        text(graphics);
        BufferedImage small = new BufferedImage(50, 25, BufferedImage.TYPE_INT_RGB);
        small.createGraphics().drawImage(image.getScaledInstance(50, 25, Image.SCALE_SMOOTH), 0, 0, null);
        for (String format : new String[] {"png", "jpg", "gif", "bmp", "tiff"}) {
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            boolean written = ImageIO.write(small, format, out);
            BufferedImage read = ImageIO.read(new ByteArrayInputStream(out.toByteArray()));
            System.out.println(format + " " + written + " " + read.getWidth() + "x" + read.getHeight() + " " + Integer.toHexString(read.getRGB(12, 10)));
        }
    }

    private static void text(Graphics2D graphics) {
        try {
            graphics.setFont(new Font("SansSerif", Font.PLAIN, 20));
            graphics.drawString("Hello", 100, 50);
            System.out.println(graphics.getFontMetrics().stringWidth("Hello") > 20);
        } catch (RuntimeException | Error e) {
            System.out.println("no fonts: " + e.getMessage()); // a machine without any
        }
    }
}
