package dev.cloudjit.tracer.test;

import java.awt.Color;
import java.awt.Graphics2D;
import java.awt.geom.Ellipse2D;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import javax.imageio.ImageIO;

/** A program that draws, whose native libraries look up classes of java.desktop through JNI. */
public final class Desktop {
    private Desktop() {}

    public static void main(String[] arguments) throws Exception {
        BufferedImage image = new BufferedImage(20, 10, BufferedImage.TYPE_INT_RGB);
        Graphics2D graphics = image.createGraphics();
        graphics.setColor(Color.ORANGE);
        graphics.fill(new Ellipse2D.Double(1, 1, 8, 6));
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        System.out.println(ImageIO.write(image, "jpg", out) + " " + (out.size() > 0));
    }
}
