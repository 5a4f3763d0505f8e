package images;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.image.BufferedImage;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.util.Base64;
import javax.imageio.ImageIO;

/** Scales an image so that it fits a square. */
public class Thumbnail implements RequestHandler<Thumbnail.Request, Thumbnail.Response> {
    static {
        System.setProperty("java.awt.headless", "true");
        ImageIO.setUseCache(false);
    }

    @Override
    public Response handleRequest(Request request, Context context) {
        try {
            byte[] bytes = Base64.getDecoder().decode(request.getImage());
            BufferedImage image = ImageIO.read(new ByteArrayInputStream(bytes));
            if (image == null) {
                throw new IllegalArgumentException("not an image");
            }
            context.getLogger().log("scaling " + image.getWidth() + "x" + image.getHeight() + "\n");
            BufferedImage small = scale(image, request.getSize());
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            ImageIO.write(small, "png", out);
            Response response = new Response();
            response.setWidth(small.getWidth());
            response.setHeight(small.getHeight());
            response.setColor(String.format("#%06x", small.getRGB(small.getWidth() / 2, small.getHeight() / 2) & 0xffffff));
            response.setImage(Base64.getEncoder().encodeToString(out.toByteArray()));
            return response;
        } catch (IOException e) {
            throw new IllegalArgumentException("not an image: " + e.getMessage(), e);
        }
    }

    private static BufferedImage scale(BufferedImage image, int size) {
        double factor = Math.min(1, (double) size / Math.max(image.getWidth(), image.getHeight()));
        int width = Math.max(1, (int) Math.round(image.getWidth() * factor));
        int height = Math.max(1, (int) Math.round(image.getHeight() * factor));
        BufferedImage small = new BufferedImage(width, height, BufferedImage.TYPE_INT_RGB);
        Graphics2D graphics = small.createGraphics();
        graphics.setRenderingHint(RenderingHints.KEY_INTERPOLATION, RenderingHints.VALUE_INTERPOLATION_BILINEAR);
        graphics.drawImage(image, 0, 0, width, height, null);
        graphics.dispose();
        return small;
    }

    public static class Request {
        private String image;
        private int size = 128;

        public String getImage() {
            return image;
        }

        public void setImage(String image) {
            this.image = image;
        }

        public int getSize() {
            return size;
        }

        public void setSize(int size) {
            this.size = size;
        }
    }

    public static class Response {
        private int width;
        private int height;
        private String color;
        private String image;

        public int getWidth() {
            return width;
        }

        public void setWidth(int width) {
            this.width = width;
        }

        public int getHeight() {
            return height;
        }

        public void setHeight(int height) {
            this.height = height;
        }

        public String getColor() {
            return color;
        }

        public void setColor(String color) {
            this.color = color;
        }

        public String getImage() {
            return image;
        }

        public void setImage(String image) {
            this.image = image;
        }
    }
}
