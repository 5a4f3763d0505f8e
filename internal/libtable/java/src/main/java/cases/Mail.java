package cases;

import jakarta.mail.Message;
import jakarta.mail.Session;
import jakarta.mail.Transport;
import jakarta.mail.internet.InternetAddress;
import jakarta.mail.internet.MimeBodyPart;
import jakarta.mail.internet.MimeMessage;
import jakarta.mail.internet.MimeMultipart;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.Date;
import java.util.Properties;

/** A message written, read, and sent to where nobody listens. */
final class Mail implements Case {
    @Override
    public void run() throws Exception {
        Properties properties = new Properties();
        properties.put("mail.smtp.host", "127.0.0.1");
        properties.put("mail.smtp.port", "1");
        Session session = Session.getInstance(properties);
        MimeMessage message = new MimeMessage(session);
        message.setFrom(new InternetAddress("a@example.com", "Ann"));
        message.setRecipient(Message.RecipientType.TO, new InternetAddress("b@example.com"));
        message.setSubject("Grüße");
        message.setSentDate(new Date(0));
        MimeMultipart parts = new MimeMultipart("alternative");
        MimeBodyPart text = new MimeBodyPart();
        text.setText("plain", "utf-8");
        MimeBodyPart html = new MimeBodyPart();
        html.setContent("<b>bold</b>", "text/html");
        parts.addBodyPart(text);
        parts.addBodyPart(html);
        message.setContent(parts);
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        message.writeTo(out);
        MimeMessage back = new MimeMessage(session, new ByteArrayInputStream(out.toByteArray()));
        System.out.println(back.getSubject() + " " + back.getFrom()[0] + " " + ((MimeMultipart) back.getContent()).getBodyPart(1).getContent());
        System.out.println(new String(out.toByteArray(), StandardCharsets.UTF_8).contains("text/html"));
        try {
            Transport.send(message);
        } catch (jakarta.mail.MessagingException e) {
            System.out.println(e.getMessage());
        }
    }
}
