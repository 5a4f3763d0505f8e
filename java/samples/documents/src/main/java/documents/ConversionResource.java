package documents;

import jakarta.ws.rs.Consumes;
import jakarta.ws.rs.GET;
import jakarta.ws.rs.POST;
import jakarta.ws.rs.Path;
import jakarta.ws.rs.Produces;
import jakarta.ws.rs.QueryParam;
import jakarta.ws.rs.WebApplicationException;
import jakarta.ws.rs.core.MediaType;
import jakarta.ws.rs.core.Response;
import java.io.IOException;
import java.io.InputStream;
import org.apache.tika.exception.TikaException;
import org.xml.sax.SAXException;

@Path("/")
public class ConversionResource {
    private final Converter converter;

    ConversionResource(Converter converter) {
        this.converter = converter;
    }

    @GET
    @Produces(MediaType.TEXT_PLAIN)
    public String usage() {
        return "Post a document to /convert, or to /text for its text alone.\n";
    }

    @POST
    @Path("convert")
    @Consumes(MediaType.WILDCARD)
    @Produces(MediaType.APPLICATION_JSON)
    public Conversion convert(InputStream document, @QueryParam("name") String name) throws IOException {
        try {
            return converter.convert(document, name);
        } catch (TikaException | SAXException e) {
            throw new WebApplicationException("cannot be read: " + e.getMessage(), Response.status(422).build());
        }
    }

    @POST
    @Path("text")
    @Consumes(MediaType.WILDCARD)
    @Produces(MediaType.TEXT_PLAIN)
    public String text(InputStream document, @QueryParam("name") String name) throws IOException {
        return convert(document, name).text();
    }
}
