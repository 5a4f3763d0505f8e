package cases;

import jakarta.xml.bind.JAXBContext;
import jakarta.xml.bind.Marshaller;
import jakarta.xml.bind.annotation.XmlAttribute;
import jakarta.xml.bind.annotation.XmlElement;
import jakarta.xml.bind.annotation.XmlElementWrapper;
import jakarta.xml.bind.annotation.XmlRootElement;
import java.io.StringReader;
import java.io.StringWriter;
import java.util.ArrayList;
import java.util.List;

/** Annotated beans to XML and back. */
final class Jaxb implements Case {
    @XmlRootElement(name = "book")
    public static class Book {
        @XmlAttribute public String isbn;
        @XmlElement public String title;
        @XmlElementWrapper(name = "authors") @XmlElement(name = "author") public List<Author> authors = new ArrayList<>();
    }

    public static class Author {
        private String name;

        public String getName() {
            return name;
        }

        public void setName(String name) {
            this.name = name;
        }
    }

    @Override
    public void run() throws Exception {
        JAXBContext context = JAXBContext.newInstance(Book.class);
        Book book = (Book) context.createUnmarshaller().unmarshal(
                new StringReader("<book isbn='1'><title>T</title><authors><author><name>A</name></author></authors></book>"));
        Marshaller marshaller = context.createMarshaller();
        marshaller.setProperty(Marshaller.JAXB_FORMATTED_OUTPUT, true);
        StringWriter out = new StringWriter();
        marshaller.marshal(book, out);
        System.out.println(out);
    }
}
