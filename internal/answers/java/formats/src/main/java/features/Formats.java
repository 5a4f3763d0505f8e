package features;

import com.fasterxml.jackson.annotation.JsonCreator;
import com.fasterxml.jackson.annotation.JsonFormat;
import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.annotation.JsonSubTypes;
import com.fasterxml.jackson.annotation.JsonTypeInfo;
import com.fasterxml.jackson.annotation.JsonView;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.SerializerProvider;
import com.fasterxml.jackson.databind.annotation.JsonSerialize;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.ser.std.StdSerializer;
import com.fasterxml.jackson.dataformat.cbor.databind.CBORMapper;
import com.fasterxml.jackson.dataformat.csv.CsvMapper;
import com.fasterxml.jackson.dataformat.xml.XmlMapper;
import com.fasterxml.jackson.dataformat.yaml.YAMLMapper;
import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.annotations.SerializedName;
import com.google.gson.reflect.TypeToken;
import com.squareup.moshi.Moshi;
import jakarta.json.Json;
import jakarta.json.bind.JsonbBuilder;
import jakarta.xml.bind.JAXBContext;
import jakarta.xml.bind.Marshaller;
import jakarta.xml.bind.annotation.XmlAttribute;
import jakarta.xml.bind.annotation.XmlElementWrapper;
import jakarta.xml.bind.annotation.XmlRootElement;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.StringReader;
import java.io.StringWriter;
import java.math.BigDecimal;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/** Libraries that read and write data. */
public final class Formats extends Corpus {
    public enum Kind { TEA, @JsonProperty("marmalade") JAM }

    public record Line(String name, int count, Kind kind, @JsonInclude(JsonInclude.Include.NON_NULL) String note) {}

    @JsonTypeInfo(use = JsonTypeInfo.Id.NAME, property = "type")
    @JsonSubTypes({@JsonSubTypes.Type(value = Card.class, name = "card"), @JsonSubTypes.Type(value = Cash.class, name = "cash")})
    public sealed interface Payment permits Card, Cash {}

    public record Card(String number) implements Payment {}

    public record Cash(BigDecimal amount) implements Payment {}

    public static class Order {
        private String id;
        private List<Line> lines = new ArrayList<>();
        private LocalDate day;
        private Map<Kind, Integer> stock = new EnumMap<>(Kind.class);
        private Optional<String> note = Optional.empty();

        public String getId() {
            return id;
        }

        public void setId(String id) {
            this.id = id;
        }

        public List<Line> getLines() {
            return lines;
        }

        public void setLines(List<Line> lines) {
            this.lines = lines;
        }

        @JsonFormat(pattern = "dd.MM.yyyy")
        public LocalDate getDay() {
            return day;
        }

        public void setDay(LocalDate day) {
            this.day = day;
        }

        public Map<Kind, Integer> getStock() {
            return stock;
        }

        public void setStock(Map<Kind, Integer> stock) {
            this.stock = stock;
        }

        public Optional<String> getNote() {
            return note;
        }

        public void setNote(Optional<String> note) {
            this.note = note;
        }
    }

    /** What most libraries here can read and write. */
    @XmlRootElement
    public static class Plain {
        @SerializedName("full_name")
        @XmlAttribute
        public String name = "Ada";
        public int age = 36;
        @XmlElementWrapper(name = "tags")
        public List<String> tags = new ArrayList<>(List.of("a", "b"));
        public transient String hidden = "no";

        @Override
        public String toString() {
            return name + age + tags + hidden;
        }
    }

    public static class Views {
        interface Public {}

        @JsonView(Public.class)
        public String open = "o";
        public String closed = "c";
        @JsonSerialize(using = Shout.class)
        public String loud = "l";
    }

    public static class Shout extends StdSerializer<String> {
        public Shout() {
            super(String.class);
        }

        @Override
        public void serialize(String value, JsonGenerator gen, SerializerProvider provider) throws java.io.IOException {
            gen.writeString(value.toUpperCase() + "!");
        }
    }

    public static class Created {
        private final int sum;

        @JsonCreator
        Created(@JsonProperty("a") int a, @JsonProperty("b") int b) {
            sum = a + b;
        }

        public int getSum() {
            return sum;
        }
    }

    public interface Greeting {
        String getText();
    }

    private static Order order() {
        Order o = new Order();
        o.setId("o1");
        o.setDay(LocalDate.of(2024, 2, 29));
        o.setLines(List.of(new Line("tea", 2, Kind.TEA, null), new Line("jam", 1, Kind.JAM, "n")));
        o.getStock().put(Kind.JAM, 3);
        o.setNote(Optional.of("x"));
        return o;
    }

    private static JsonMapper jackson() {
        return JsonMapper.builder().findAndAddModules().disable(SerializationFeature.WRITE_DATES_AS_TIMESTAMPS).build();
    }

    public Formats() {
        add("jackson/beans-and-modules", () -> {
            String json = jackson().writeValueAsString(order());
            return json + jackson().readValue(json, Order.class).getDay();
        });
        add("jackson/records", () -> new ObjectMapper().readValue("{\"name\":\"n\",\"count\":3,\"kind\":\"marmalade\"}", Line.class));
        add("jackson/sealed", () -> {
            ObjectMapper m = new ObjectMapper();
            return m.writeValueAsString(List.of(new Card("1"))) + m.readValue("{\"type\":\"cash\",\"amount\":1.50}", Payment.class);
        });
        add("jackson/unknown-property", () -> new ObjectMapper().readValue("{\"nome\":1}", Line.class));
        add("jackson/no-creator", () -> new ObjectMapper().readValue("{\"text\":\"t\"}", Greeting.class));
        add("jackson/views-and-serializers", () -> new ObjectMapper().writeValueAsString(new Views()) + new ObjectMapper().writerWithView(Views.Public.class).writeValueAsString(new Views()));
        add("jackson/creator", () -> new ObjectMapper().readValue("{\"a\":1,\"b\":2}", Created.class).getSum());
        add("jackson/generic-types", () -> new ObjectMapper().readValue("{\"k\":[{\"name\":\"x\"}]}", new TypeReference<TreeMap<String, List<Line>>>() {}));
        add("jackson/tree", () -> new ObjectMapper().readTree("{\"a\":{\"b\":[1,2.5,null]}}").at("/a/b/1").asDouble());
        add("jackson/naming", () -> JsonMapper.builder().propertyNamingStrategy(PropertyNamingStrategies.SNAKE_CASE).build().writeValueAsString(Map.of()) + new ObjectMapper().convertValue(new Plain(), Map.class));
        add("jackson/malformed", () -> new ObjectMapper().readTree("{\"a\":"));
        add("jackson/blackbird", () -> JsonMapper.builder().addModule(new com.fasterxml.jackson.module.blackbird.BlackbirdModule()).build().readValue("{\"name\":\"b\",\"age\":1}", Plain.class));
        add("jackson/yaml", () -> new YAMLMapper().writeValueAsString(new Plain()) + new YAMLMapper().readValue("name: y\ntags: [q]", Plain.class));
        add("jackson/xml", () -> new XmlMapper().writeValueAsString(new Plain()) + new XmlMapper().readValue("<Plain><name>x</name><tags><tags>t</tags></tags></Plain>", Plain.class));
        add("jackson/csv", () -> {
            CsvMapper m = new CsvMapper();
            return m.writer(m.schemaFor(Line.class).withHeader()).writeValueAsString(new Line("a", 1, Kind.TEA, "b,c"));
        });
        add("jackson/cbor", () -> HexFormat.of().formatHex(new CBORMapper().writeValueAsBytes(Map.of("a", 1))));
        add("gson/fields", () -> new Gson().toJson(new Plain()) + new Gson().fromJson("{\"full_name\":\"g\",\"age\":2}", Plain.class));
        add("gson/records", () -> new Gson().fromJson("{\"name\":\"r\",\"count\":4,\"kind\":\"JAM\"}", Line.class));
        add("gson/generic-types", () -> new Gson().fromJson("[{\"name\":\"x\"}]", new TypeToken<List<Line>>() {}));
        add("gson/builder", () -> new GsonBuilder().setPrettyPrinting().serializeNulls().create().toJson(new Line("p", 1, null, null)));
        add("gson/malformed", () -> new Gson().fromJson("{\"age\":\"x\"}", Plain.class));
        add("moshi/fields", () -> {
            var a = new Moshi.Builder().build().adapter(Plain.class);
            return a.toJson(new Plain()) + a.fromJson("{\"name\":\"m\",\"age\":3}");
        });
        add("json-b/beans", () -> {
            try (var b = JsonbBuilder.create()) {
                return b.toJson(new Plain()) + b.fromJson("{\"name\":\"j\",\"age\":3}", Plain.class);
            }
        });
        add("json-p/pointer-and-patch", () -> Json.createPointer("/a/0").getValue(Json.createReader(new StringReader("{\"a\":[7]}")).readObject()) + Json.createPatchBuilder().add("/b", 1).build().apply(Json.createObjectBuilder().build()).toString());
        add("org-json/objects", () -> new org.json.JSONObject("{\"b\":1,\"a\":[true,null]}").getJSONArray("a") + org.json.XML.toJSONObject("<a><b>1</b></a>").toString() + new org.json.JSONObject(new Created(1, 2)));
        add("json-path/query", () -> com.jayway.jsonpath.JsonPath.read("{\"s\":[{\"p\":5,\"t\":\"a\"},{\"p\":15,\"t\":\"b\"}]}", "$.s[?(@.p > 10)].t").toString());
        add("json-path/missing", () -> com.jayway.jsonpath.JsonPath.read("{}", "$.a.b"));
        add("json-schema/validate", () -> com.networknt.schema.JsonSchemaFactory.getInstance(com.networknt.schema.SpecVersion.VersionFlag.V202012)
                .getSchema("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\",\"minimum\":3}},\"required\":[\"b\"]}").validate(new ObjectMapper().readTree("{\"a\":1}")).stream().map(Object::toString).sorted().toList());
        add("fastjson2/fields", () -> com.alibaba.fastjson2.JSON.toJSONString(new Created(2, 3)) + com.alibaba.fastjson2.JSON.parseObject("{\"name\":\"f\",\"age\":4}", Plain.class));
        add("snakeyaml/load", () -> new org.yaml.snakeyaml.Yaml().load("a: &x [1, 2.5, true, null, 2024-02-29]\nb: *x\n").toString().replaceAll("Thu.*?2024", "date"));
        add("snakeyaml/beans", () -> new org.yaml.snakeyaml.Yaml(new org.yaml.snakeyaml.constructor.Constructor(Plain.class, new org.yaml.snakeyaml.LoaderOptions())).load("name: s\nage: 5"));
        add("snakeyaml/dump", () -> new org.yaml.snakeyaml.Yaml().dump(Map.of("k", List.of(1, "x: y"))));
        add("jaxb/marshal", () -> {
            StringWriter w = new StringWriter();
            JAXBContext c = JAXBContext.newInstance(Plain.class);
            Marshaller m = c.createMarshaller();
            m.setProperty(Marshaller.JAXB_FRAGMENT, true);
            m.marshal(new Plain(), w);
            return w.toString() + c.createUnmarshaller().unmarshal(new StringReader("<plain name='u'><age>6</age></plain>"));
        });
        add("jaxb/unknown-class", () -> JAXBContext.newInstance(Line.class).createUnmarshaller().unmarshal(new StringReader("<x/>")));
        add("xstream/fields", () -> {
            var x = new com.thoughtworks.xstream.XStream();
            x.allowTypes(new Class<?>[] {Plain.class});
            return x.toXML(new Plain()) + x.fromXML(x.toXML(new Plain()));
        });
        add("dom4j/xpath-free", () -> org.dom4j.DocumentHelper.parseText("<a b='1'><c>x</c></a>").getRootElement().elementText("c"));
        add("jsoup/select", () -> org.jsoup.Jsoup.parse("<p class=x>a &auml; <b>bold</b></p>").select("p.x > b").text() + org.jsoup.Jsoup.clean("<script>x</script><b>y</b>", org.jsoup.safety.Safelist.basic()));
        add("kryo/unregistered", () -> {
            var k = new com.esotericsoftware.kryo.Kryo();
            k.setRegistrationRequired(false);
            var out = new com.esotericsoftware.kryo.io.Output(1024, -1);
            k.writeClassAndObject(out, new Plain());
            return k.readClassAndObject(new com.esotericsoftware.kryo.io.Input(out.toBytes()));
        });
        add("kryo/registered", () -> {
            var k = new com.esotericsoftware.kryo.Kryo();
            k.register(Line.class);
            k.register(Kind.class);
            var out = new com.esotericsoftware.kryo.io.Output(1024, -1);
            k.writeObject(out, new Line("k", 1, Kind.TEA, "n"));
            return k.readObject(new com.esotericsoftware.kryo.io.Input(out.toBytes()), Line.class);
        });
        add("protobuf/struct", () -> {
            var b = com.google.protobuf.Struct.newBuilder();
            com.google.protobuf.util.JsonFormat.parser().merge("{\"a\":[1,true,\"x\"]}", b);
            return com.google.protobuf.util.JsonFormat.printer().omittingInsignificantWhitespace().print(b) + com.google.protobuf.Struct.parseFrom(b.build().toByteArray()).getFieldsCount();
        });
        add("protobuf/timestamp", () -> com.google.protobuf.util.Timestamps.toString(com.google.protobuf.util.Timestamps.parse("2024-02-29T10:00:00Z")) + com.google.protobuf.Timestamp.getDescriptor().getFields().size());
        add("protobuf/dynamic", () -> com.google.protobuf.DynamicMessage.newBuilder(com.google.protobuf.Duration.getDescriptor()).setField(com.google.protobuf.Duration.getDescriptor().findFieldByName("seconds"), 5L).build());
        add("avro/generic", () -> {
            var schema = new org.apache.avro.Schema.Parser().parse("{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"n\",\"type\":\"string\"},{\"name\":\"x\",\"type\":[\"null\",\"int\"]}]}");
            var record = new org.apache.avro.generic.GenericRecordBuilder(schema).set("n", "v").set("x", 3).build();
            var out = new ByteArrayOutputStream();
            var e = org.apache.avro.io.EncoderFactory.get().binaryEncoder(out, null);
            new org.apache.avro.generic.GenericDatumWriter<>(schema).write(record, e);
            e.flush();
            return new org.apache.avro.generic.GenericDatumReader<>(schema).read(null, org.apache.avro.io.DecoderFactory.get().binaryDecoder(out.toByteArray(), null));
        });
        add("avro/reflect", () -> {
            var schema = org.apache.avro.reflect.ReflectData.get().getSchema(Plain.class);
            var out = new ByteArrayOutputStream();
            var e = org.apache.avro.io.EncoderFactory.get().binaryEncoder(out, null);
            new org.apache.avro.reflect.ReflectDatumWriter<>(Plain.class).write(new Plain(), e);
            e.flush();
            return schema.getName() + new org.apache.avro.reflect.ReflectDatumReader<>(Plain.class).read(null, org.apache.avro.io.DecoderFactory.get().binaryDecoder(out.toByteArray(), null));
        });
        add("msgpack/values", () -> {
            var p = org.msgpack.core.MessagePack.newDefaultBufferPacker();
            p.packMapHeader(1).packString("k").packDouble(1.5);
            return org.msgpack.core.MessagePack.newDefaultUnpacker(p.toByteArray()).unpackValue();
        });
        add("commons-csv/headers", () -> org.apache.commons.csv.CSVFormat.DEFAULT.builder().setHeader().setSkipHeaderRecord(true).get().parse(new StringReader("a,b\n1,\"x,y\"\n")).getRecords().getFirst().toMap());
        add("opencsv/beans", () -> new com.opencsv.bean.CsvToBeanBuilder<Plain>(new StringReader("name,age\ncsv,7\n")).withType(Plain.class).build().parse());
        add("pdfbox/write-and-read", () -> {
            var out = new ByteArrayOutputStream();
            try (var d = new org.apache.pdfbox.pdmodel.PDDocument()) {
                var page = new org.apache.pdfbox.pdmodel.PDPage();
                d.addPage(page);
                try (var c = new org.apache.pdfbox.pdmodel.PDPageContentStream(d, page)) {
                    c.beginText();
                    c.setFont(new org.apache.pdfbox.pdmodel.font.PDType1Font(org.apache.pdfbox.pdmodel.font.Standard14Fonts.FontName.HELVETICA), 12);
                    c.newLineAtOffset(100, 700);
                    c.showText("Hello PDF");
                    c.endText();
                }
                d.save(out);
            }
            try (var d = org.apache.pdfbox.Loader.loadPDF(out.toByteArray())) {
                return new org.apache.pdfbox.text.PDFTextStripper().getText(d).strip() + d.getNumberOfPages();
            }
        });
        add("poi/workbook", () -> {
            var out = new ByteArrayOutputStream();
            try (var w = new org.apache.poi.hssf.usermodel.HSSFWorkbook()) {
                var row = w.createSheet("s").createRow(0);
                row.createCell(0).setCellValue(2);
                row.createCell(1).setCellFormula("A1*21");
                w.getCreationHelper().createFormulaEvaluator().evaluateAll();
                w.write(out);
            }
            try (var w = new org.apache.poi.hssf.usermodel.HSSFWorkbook(new ByteArrayInputStream(out.toByteArray()))) {
                return w.getSheet("s").getRow(0).getCell(1).getNumericCellValue() + new org.apache.poi.ss.usermodel.DataFormatter(java.util.Locale.US).formatRawCellContents(0.5, 9, "0%");
            }
        });
        add("zxing/qr-code", () -> {
            var image = com.google.zxing.client.j2se.MatrixToImageWriter.toBufferedImage(new com.google.zxing.qrcode.QRCodeWriter().encode("text", com.google.zxing.BarcodeFormat.QR_CODE, 100, 100));
            var map = new com.google.zxing.BinaryBitmap(new com.google.zxing.common.HybridBinarizer(new com.google.zxing.client.j2se.BufferedImageLuminanceSource(image)));
            return new com.google.zxing.MultiFormatReader().decode(map).getText();
        });
        add("commons-compress/tar-and-bzip2", () -> {
            var out = new ByteArrayOutputStream();
            try (var t = new org.apache.commons.compress.archivers.tar.TarArchiveOutputStream(new org.apache.commons.compress.compressors.CompressorStreamFactory().createCompressorOutputStream("bzip2", out))) {
                var e = new org.apache.commons.compress.archivers.tar.TarArchiveEntry("a.txt");
                e.setSize(3);
                t.putArchiveEntry(e);
                t.write("abc".getBytes());
                t.closeArchiveEntry();
            }
            var in = new org.apache.commons.compress.archivers.tar.TarArchiveInputStream(new org.apache.commons.compress.compressors.CompressorStreamFactory().createCompressorInputStream(new java.io.BufferedInputStream(new ByteArrayInputStream(out.toByteArray()))));
            return in.getNextEntry().getName() + new String(in.readAllBytes());
        });
        add("jni/own-library", () -> Own.doubled(21));
        add("jni/library-missing", () -> {
            System.loadLibrary("nothing");
            return "";
        });
        add("commons-compress/unknown", () -> new org.apache.commons.compress.archivers.ArchiveStreamFactory().createArchiveInputStream("rar5", new ByteArrayInputStream(new byte[0])));
    }
}
