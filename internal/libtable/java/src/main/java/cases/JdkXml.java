package cases;

import java.io.StringReader;
import java.io.StringWriter;
import javax.xml.parsers.DocumentBuilderFactory;
import javax.xml.parsers.SAXParserFactory;
import javax.xml.stream.XMLInputFactory;
import javax.xml.transform.TransformerFactory;
import javax.xml.transform.dom.DOMSource;
import javax.xml.transform.stream.StreamResult;
import javax.xml.xpath.XPathFactory;
import org.w3c.dom.Document;
import org.xml.sax.InputSource;
import org.xml.sax.helpers.DefaultHandler;

/** The XML of the JDK, which finds its own parts by name. */
final class JdkXml implements Case {
    @Override
    public void run() throws Exception {
        String xml = "<a><b n='1'>t</b></a>";
        Document document = DocumentBuilderFactory.newInstance().newDocumentBuilder().parse(new InputSource(new StringReader(xml)));
        System.out.println(XPathFactory.newInstance().newXPath().evaluate("/a/b/@n", document));
        StringWriter out = new StringWriter();
        TransformerFactory.newInstance().newTransformer().transform(new DOMSource(document), new StreamResult(out));
        System.out.println(out);
        SAXParserFactory.newInstance().newSAXParser().parse(new InputSource(new StringReader(xml)), new DefaultHandler() {
            @Override
            public void characters(char[] text, int start, int length) {
                System.out.println(new String(text, start, length));
            }
        });
        System.out.println(XMLInputFactory.newInstance().createXMLStreamReader(new StringReader(xml)).next());
    }
}
