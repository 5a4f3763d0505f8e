package features;

import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Callable;
import java.util.logging.Level;
import javax.crypto.Cipher;
import javax.crypto.spec.SecretKeySpec;

/** Logs, collections, caches, security, networks, schedules. */
public final class Tools extends Corpus {
    public static class Person {
        private String name = "Ada";
        private int age = 36;

        public Person() {}

        public Person(String name, int age) {
            this.name = name;
            this.age = age;
        }

        public String getName() {
            return name;
        }

        public void setName(String name) {
            this.name = name;
        }

        public int getAge() {
            return age;
        }

        public void setAge(int age) {
            this.age = age;
        }
    }

    public static class Copy {
        private String name;

        public String getName() {
            return name;
        }

        public void setName(String name) {
            this.name = name;
        }
    }

    public static class Job implements org.quartz.Job {
        static final java.util.concurrent.CountDownLatch RAN = new java.util.concurrent.CountDownLatch(1);

        @Override
        public void execute(org.quartz.JobExecutionContext context) {
            RAN.countDown();
        }
    }

    private static java.security.Provider bouncyCastle() {
        java.security.Provider p = java.security.Security.getProvider("BC");
        if (p == null) {
            p = new org.bouncycastle.jce.provider.BouncyCastleProvider();
            java.security.Security.addProvider(p);
        }
        return p;
    }

    private static String encrypted(String algorithm, int key) throws Exception {
        bouncyCastle();
        Cipher c = Cipher.getInstance(algorithm, "BC");
        c.init(Cipher.ENCRYPT_MODE, new SecretKeySpec(new byte[key], algorithm));
        return HexFormat.of().formatHex(c.doFinal("0123456789abcdef".getBytes()));
    }

    /** Runs against a server that answers "METHOD BODY". */
    private static String served(Served call) throws Exception {
        var server = com.sun.net.httpserver.HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.createContext("/", x -> {
            byte[] b = (x.getRequestMethod() + " " + new String(x.getRequestBody().readAllBytes(), StandardCharsets.UTF_8)).getBytes();
            x.sendResponseHeaders(200, b.length);
            x.getResponseBody().write(b);
            x.close();
        });
        server.start();
        try {
            return call.at("http://127.0.0.1:" + server.getAddress().getPort() + "/");
        } finally {
            server.stop(0);
        }
    }

    private interface Served {
        String at(String url) throws Exception;
    }

    public Tools() {
        java.util.logging.Logger.getLogger("").setLevel(Level.OFF);

        add("logback/configured", () -> {
            var context = new ch.qos.logback.classic.LoggerContext();
            var configurator = new ch.qos.logback.classic.joran.JoranConfigurator();
            configurator.setContext(context);
            configurator.doConfigure(new java.io.ByteArrayInputStream(("<configuration><appender name='L' class='ch.qos.logback.core.read.ListAppender'/>"
                    + "<logger name='a.b' level='WARN'/><root level='INFO'><appender-ref ref='L'/></root></configuration>").getBytes()));
            context.getLogger("a.b.c").info("no");
            context.getLogger("x").info("yes {}", 1);
            var list = (ch.qos.logback.core.read.ListAppender<?>) context.getLogger("ROOT").getAppender("L");
            return list.list.toString();
        });
        add("logback/slf4j", () -> org.slf4j.LoggerFactory.getILoggerFactory().getClass().getSimpleName() + org.slf4j.MarkerFactory.getMarker("m").getName());
        add("log4j/layout", () -> org.apache.logging.log4j.core.layout.PatternLayout.newBuilder().withPattern("%p %c{1} %m").build()
                .toSerializable(org.apache.logging.log4j.core.impl.Log4jLogEvent.newBuilder().setLoggerName("a.b.C").setLevel(org.apache.logging.log4j.Level.WARN).setMessage(new org.apache.logging.log4j.message.SimpleMessage("msg")).build()));
        add("log4j/configured", () -> {
            var b = org.apache.logging.log4j.core.config.builder.api.ConfigurationBuilderFactory.newConfigurationBuilder();
            b.add(b.newAppender("Null", "Null")).add(b.newRootLogger(org.apache.logging.log4j.Level.ERROR).add(b.newAppenderRef("Null")));
            try (var context = org.apache.logging.log4j.core.config.Configurator.initialize(b.build(false))) {
                return context.getLogger("x").isWarnEnabled() + " " + context.getConfiguration().getAppenders().keySet();
            }
        });

        add("commons-lang/reflection", () -> org.apache.commons.lang3.builder.ToStringBuilder.reflectionToString(new Person(), org.apache.commons.lang3.builder.ToStringStyle.SHORT_PREFIX_STYLE) + org.apache.commons.lang3.builder.EqualsBuilder.reflectionEquals(new Person(), new Person()) + org.apache.commons.lang3.StringUtils.capitalize("x"));
        add("commons-text/substitute", () -> org.apache.commons.text.StringSubstitutor.replace("${a} ${b:-d}", Map.of("a", 1)) + new org.apache.commons.text.similarity.LevenshteinDistance().apply("ab", "cd") + org.apache.commons.text.StringEscapeUtils.unescapeHtml4("&auml;"));
        add("commons-beanutils/properties", () -> {
            Person p = new Person();
            org.apache.commons.beanutils.BeanUtils.setProperty(p, "age", "41");
            return org.apache.commons.beanutils.PropertyUtils.describe(p).get("age") + org.apache.commons.beanutils.BeanUtils.getProperty(p, "name");
        });
        add("commons-codec/digests", () -> org.apache.commons.codec.digest.DigestUtils.sha256Hex("x") + new org.apache.commons.codec.language.Soundex().encode("Robert") + new org.apache.commons.codec.language.bm.BeiderMorseEncoder().encode("Meyer"));
        add("commons-io/streams", () -> org.apache.commons.io.IOUtils.toString(Tools.class.getResource("/logback.xml"), StandardCharsets.UTF_8).length() + org.apache.commons.io.FilenameUtils.getExtension("a.tar.gz"));
        add("guava/collections", () -> com.google.common.collect.ImmutableMultimap.of("a", 1, "a", 2) + " " + com.google.common.base.Splitter.on(',').trimResults().splitToList("a , b") + com.google.common.hash.Hashing.murmur3_128(1).hashInt(2) + com.google.common.reflect.TypeToken.of(ArrayList.class).getTypes().interfaces().size());
        add("guava/event-bus", () -> {
            List<String> said = new ArrayList<>();
            var bus = new com.google.common.eventbus.EventBus();
            bus.register(new Listener(said));
            bus.post("event");
            bus.post(5);
            return said;
        });
        add("guava/cache", () -> com.google.common.cache.CacheBuilder.newBuilder().maximumSize(1).build(com.google.common.cache.CacheLoader.from((String k) -> k + "!")).get("k"));
        add("caffeine/cache", () -> {
            com.github.benmanes.caffeine.cache.LoadingCache<String, String> c = com.github.benmanes.caffeine.cache.Caffeine.newBuilder().maximumSize(10).expireAfterWrite(Duration.ofHours(1)).recordStats().build(k -> k + k);
            return c.get("a") + c.get("a") + c.stats().hitCount();
        });
        add("caffeine/weak-values", () -> com.github.benmanes.caffeine.cache.Caffeine.newBuilder().weakKeys().weakValues().build().estimatedSize());

        add("bouncy-castle/sm4", () -> encrypted("SM4", 16));
        add("bouncy-castle/twofish", () -> encrypted("Twofish", 16));
        add("bouncy-castle/aes", () -> encrypted("AES", 32));
        add("bouncy-castle/digests", () -> {
            StringBuilder all = new StringBuilder();
            for (String name : List.of("RIPEMD160", "SHA3-256", "Whirlpool", "SM3")) {
                all.append(HexFormat.of().formatHex(java.security.MessageDigest.getInstance(name, bouncyCastle()).digest("x".getBytes()))).append(' ');
            }
            return all;
        });
        add("bouncy-castle/lightweight", () -> {
            var d = new org.bouncycastle.crypto.digests.Blake2bDigest(256);
            d.update((byte) 1);
            byte[] b = new byte[32];
            d.doFinal(b, 0);
            return HexFormat.of().formatHex(b);
        });
        add("bouncy-castle/ec", () -> {
            var g = java.security.KeyPairGenerator.getInstance("EC", bouncyCastle());
            g.initialize(new java.security.spec.ECGenParameterSpec("secp256k1"));
            return g.generateKeyPair().getPublic().getAlgorithm();
        });
        add("nimbus/hmac-token", () -> {
            var token = new com.nimbusds.jwt.SignedJWT(new com.nimbusds.jose.JWSHeader(com.nimbusds.jose.JWSAlgorithm.HS256), new com.nimbusds.jwt.JWTClaimsSet.Builder().subject("s").issueTime(java.util.Date.from(Instant.EPOCH)).build());
            token.sign(new com.nimbusds.jose.crypto.MACSigner(new byte[32]));
            return token.serialize() + com.nimbusds.jwt.SignedJWT.parse(token.serialize()).verify(new com.nimbusds.jose.crypto.MACVerifier(new byte[32]));
        });
        add("nimbus/encrypted", () -> {
            var e = new com.nimbusds.jose.JWEObject(new com.nimbusds.jose.JWEHeader(com.nimbusds.jose.JWEAlgorithm.DIR, com.nimbusds.jose.EncryptionMethod.A256GCM), new com.nimbusds.jose.Payload("secret"));
            e.encrypt(new com.nimbusds.jose.crypto.DirectEncrypter(new byte[32]));
            var d = com.nimbusds.jose.JWEObject.parse(e.serialize());
            d.decrypt(new com.nimbusds.jose.crypto.DirectDecrypter(new byte[32]));
            return d.getPayload();
        });
        add("java-jwt/token", () -> {
            var a = com.auth0.jwt.algorithms.Algorithm.HMAC256("secret");
            String t = com.auth0.jwt.JWT.create().withIssuer("i").withClaim("n", 1).sign(a);
            return t + com.auth0.jwt.JWT.require(a).withIssuer("i").build().verify(t).getClaim("n").asInt();
        });
        add("java-jwt/wrong", () -> com.auth0.jwt.JWT.require(com.auth0.jwt.algorithms.Algorithm.HMAC256("other")).build().verify("eyJhbGciOiJIUzI1NiJ9.e30.x"));

        add("netty/embedded-channel", () -> {
            var c = new io.netty.channel.embedded.EmbeddedChannel(new io.netty.handler.codec.http.HttpRequestDecoder());
            c.writeInbound(io.netty.buffer.Unpooled.copiedBuffer("GET /x HTTP/1.1\r\nA: b\r\n\r\n", StandardCharsets.US_ASCII));
            io.netty.handler.codec.http.HttpRequest r = c.readInbound();
            return r.method() + r.uri() + r.headers().get("A");
        });
        add("netty/pooled-buffers", () -> {
            var b = io.netty.buffer.PooledByteBufAllocator.DEFAULT.directBuffer(16);
            b.writeLong(7);
            try {
                return b.readLong() + " " + b.refCnt();
            } finally {
                b.release();
            }
        });
        add("okhttp/post", () -> served(url -> {
            try (var r = new okhttp3.OkHttpClient().newCall(new okhttp3.Request.Builder().url(url).post(okhttp3.RequestBody.create("ok", okhttp3.MediaType.get("text/plain"))).build()).execute()) {
                return r.code() + r.body().string();
            }
        }));
        add("httpclient5/get", () -> served(url -> {
            try (var c = org.apache.hc.client5.http.impl.classic.HttpClients.createDefault()) {
                return c.execute(new org.apache.hc.client5.http.classic.methods.HttpGet(url), r -> r.getCode() + org.apache.hc.core5.http.io.entity.EntityUtils.toString(r.getEntity()));
            }
        }));
        add("aws-sdk/request", () -> served(url -> {
            try (var d = software.amazon.awssdk.services.dynamodb.DynamoDbClient.builder().endpointOverride(java.net.URI.create(url)).region(software.amazon.awssdk.regions.Region.EU_CENTRAL_1)
                    .overrideConfiguration(o -> o.retryStrategy(r -> r.maxAttempts(1)))
                    .credentialsProvider(software.amazon.awssdk.auth.credentials.StaticCredentialsProvider.create(software.amazon.awssdk.auth.credentials.AwsBasicCredentials.create("a", "b"))).build()) {
                return d.listTables().tableNames().toString();
            } catch (software.amazon.awssdk.core.exception.SdkException e) {
                return e.getClass().getSimpleName();
            }
        }));
        add("aws-sdk/models", () -> software.amazon.awssdk.services.dynamodb.model.GetItemRequest.builder().tableName("t").key(Map.of("id", software.amazon.awssdk.services.dynamodb.model.AttributeValue.fromS("x"))).build());

        add("reactor/flux", () -> reactor.core.publisher.Flux.range(1, 5).publishOn(reactor.core.scheduler.Schedulers.parallel()).map(i -> i * i).collectList().block());
        add("rxjava/observable", () -> io.reactivex.rxjava3.core.Observable.fromArray(3, 1, 2).sorted().map(i -> "n" + i).toList().blockingGet());
        add("resilience4j/retry", () -> {
            int[] tries = {0};
            Callable<String> c = () -> {
                if (++tries[0] < 3) {
                    throw new IllegalStateException("again");
                }
                return "after " + tries[0];
            };
            return io.github.resilience4j.retry.Retry.of("r", io.github.resilience4j.retry.RetryConfig.custom().waitDuration(Duration.ofMillis(1)).build()).executeCallable(c);
        });
        add("quartz/job", () -> {
            Properties p = new Properties();
            p.put("org.quartz.threadPool.threadCount", "1");
            p.put("org.quartz.scheduler.skipUpdateCheck", "true");
            var s = new org.quartz.impl.StdSchedulerFactory(p).getScheduler();
            s.start();
            s.scheduleJob(org.quartz.JobBuilder.newJob(Job.class).build(), org.quartz.TriggerBuilder.newTrigger().startNow().build());
            boolean ran = Job.RAN.await(10, java.util.concurrent.TimeUnit.SECONDS);
            s.shutdown(true);
            return ran;
        });
        add("quartz/cron", () -> {
            var c = new org.quartz.CronExpression("0 0 12 ? * MON");
            c.setTimeZone(java.util.TimeZone.getTimeZone("UTC"));
            return c.getNextValidTimeAfter(new java.util.Date(0)).toInstant();
        });
        add("joda-time/formats", () -> org.joda.time.format.DateTimeFormat.forPattern("EEEE d MMMM yyyy").withLocale(Locale.FRENCH).print(new org.joda.time.LocalDate(2024, 2, 29)) + new org.joda.time.DateTime(0, org.joda.time.DateTimeZone.forID("Asia/Tokyo")));
        add("icu4j/plurals", () -> com.ibm.icu.text.MessageFormat.format("{0,plural,one{# item}other{# items}}", 2) + new com.ibm.icu.text.RuleBasedNumberFormat(com.ibm.icu.util.ULocale.GERMAN, com.ibm.icu.text.RuleBasedNumberFormat.SPELLOUT).format(42));
        add("icu4j/transliterate", () -> com.ibm.icu.text.Transliterator.getInstance("Greek-Latin").transliterate("αβγ") + com.ibm.icu.text.Collator.getInstance(com.ibm.icu.util.ULocale.forLanguageTag("sv")).compare("ö", "z"));
        add("lucene/search", () -> {
            try (var d = new org.apache.lucene.store.ByteBuffersDirectory(); var analyzer = new org.apache.lucene.analysis.standard.StandardAnalyzer()) {
                try (var w = new org.apache.lucene.index.IndexWriter(d, new org.apache.lucene.index.IndexWriterConfig(analyzer))) {
                    for (String text : List.of("the quick brown fox", "a lazy dog")) {
                        var doc = new org.apache.lucene.document.Document();
                        doc.add(new org.apache.lucene.document.TextField("t", text, org.apache.lucene.document.Field.Store.YES));
                        w.addDocument(doc);
                    }
                }
                try (var r = org.apache.lucene.index.DirectoryReader.open(d)) {
                    var s = new org.apache.lucene.search.IndexSearcher(r);
                    var hits = s.search(new org.apache.lucene.queryparser.classic.QueryParser("t", analyzer).parse("qui* OR dog"), 10);
                    return hits.totalHits.value() + s.storedFields().document(hits.scoreDocs[0].doc).get("t");
                }
            }
        });
        add("libphonenumber/parse", () -> {
            var u = com.google.i18n.phonenumbers.PhoneNumberUtil.getInstance();
            var n = u.parse("030 123456", "DE");
            return u.format(n, com.google.i18n.phonenumbers.PhoneNumberUtil.PhoneNumberFormat.INTERNATIONAL) + u.getRegionCodeForNumber(n);
        });
        add("jakarta-mail/message", () -> {
            var m = new jakarta.mail.internet.MimeMessage(jakarta.mail.Session.getInstance(new Properties()));
            m.setSubject("ä", "UTF-8");
            m.setContent(new jakarta.mail.internet.MimeMultipart(new jakarta.mail.internet.MimeBodyPart(new java.io.ByteArrayInputStream("Content-Type: text/plain\r\n\r\nbody".getBytes()))));
            m.saveChanges();
            return m.getHeader("Subject")[0] + ((jakarta.mail.Multipart) m.getContent()).getBodyPart(0).getContent();
        });
        add("modelmapper/map", () -> new org.modelmapper.ModelMapper().map(new Person(), Copy.class).getName());
    }

    public static class Listener {
        private final List<String> said;

        Listener(List<String> said) {
            this.said = said;
        }

        @com.google.common.eventbus.Subscribe
        public void text(String s) {
            said.add("text " + s);
        }

        @com.google.common.eventbus.Subscribe
        public void number(Integer i) {
            said.add("number " + i);
        }
    }
}
