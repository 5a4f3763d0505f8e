package features;

import jakarta.inject.Inject;
import jakarta.inject.Singleton;
import jakarta.persistence.Entity;
import jakarta.persistence.FetchType;
import jakarta.persistence.GeneratedValue;
import jakarta.persistence.Id;
import jakarta.persistence.ManyToOne;
import jakarta.validation.Validation;
import jakarta.validation.constraints.Min;
import jakarta.validation.constraints.NotBlank;
import java.io.StringReader;
import java.io.StringWriter;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Callable;
import java.util.function.Supplier;
import java.util.logging.Level;
import javax.crypto.Cipher;
import javax.crypto.spec.SecretKeySpec;

/** Databases, templates, injection, generated classes, security, networks, schedules. */
public final class Tools extends Corpus {
    public static class Person {
        private String name = "Ada";
        private int age = 36;

        public Person() {}

        public Person(String name, int age) {
            this.name = name;
            this.age = age;
        }

        @NotBlank
        public String getName() {
            return name;
        }

        public void setName(String name) {
            this.name = name;
        }

        @Min(value = 18, message = "{value} at least, not ${validatedValue}")
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

    @Entity(name = "Author")
    public static class Author {
        @Id
        @GeneratedValue
        Long id;
        String name;

        public Author() {}

        public String getName() {
            return name;
        }
    }

    @Entity(name = "Book")
    public static class Book {
        @Id
        @GeneratedValue
        Long id;
        String title;
        @ManyToOne(fetch = FetchType.LAZY)
        Author author;

        public Book() {}

        public Author getAuthor() {
            return author;
        }
    }

    public interface Greeter {
        String greet();
    }

    @Singleton
    public static class English implements Greeter {
        @Override
        public String greet() {
            return "hello";
        }
    }

    public static class Hall {
        final Greeter greeter;

        @Inject
        Hall(Greeter greeter) {
            this.greeter = greeter;
        }
    }

    public interface Mapper {
        @org.apache.ibatis.annotations.Select("SELECT name, age FROM person WHERE age > #{age}")
        List<Person> older(int age);
    }

    @org.springframework.context.annotation.Configuration
    public static class Beans {
        @org.springframework.context.annotation.Bean
        public Greeter greeter() {
            return new English();
        }

        @org.springframework.context.annotation.Bean
        public Supplier<String> user() {
            return () -> greeter().greet() + (greeter() == greeter());
        }
    }

    public static class Job implements org.quartz.Job {
        static final java.util.concurrent.CountDownLatch RAN = new java.util.concurrent.CountDownLatch(1);

        @Override
        public void execute(org.quartz.JobExecutionContext context) {
            RAN.countDown();
        }
    }

    private static Connection h2() throws Exception {
        Connection c = DriverManager.getConnection("jdbc:h2:mem:");
        c.createStatement().execute("CREATE TABLE person (name VARCHAR(20), age INT); INSERT INTO person VALUES ('Ada', 36), ('Bob', 20)");
        return c;
    }

    private static String rows(Connection c, String query) throws Exception {
        StringBuilder all = new StringBuilder();
        try (c; ResultSet r = c.createStatement().executeQuery(query)) {
            while (r.next()) {
                all.append(r.getString(1)).append(r.getInt(2)).append(' ');
            }
        }
        return all.toString();
    }

    private static org.hibernate.SessionFactory hibernate(String name) {
        return new org.hibernate.cfg.Configuration().addAnnotatedClass(Author.class).addAnnotatedClass(Book.class)
                .setProperty("hibernate.connection.url", "jdbc:h2:mem:" + name).setProperty("hibernate.hbm2ddl.auto", "create").buildSessionFactory();
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

        add("h2/query", () -> rows(h2(), "SELECT UPPER(name), age FROM person ORDER BY age"));
        add("h2/wrong-query", () -> rows(h2(), "SELECT nothing FROM person"));
        add("h2/function", () -> {
            Connection c = h2();
            c.createStatement().execute("CREATE ALIAS twice FOR 'java.lang.Math.abs(int)'");
            return rows(c, "SELECT name, twice(-age) FROM person ORDER BY 1");
        });
        add("hsqldb/query", () -> {
            Connection c = DriverManager.getConnection("jdbc:hsqldb:mem:f", "SA", "");
            c.createStatement().execute("CREATE TABLE IF NOT EXISTS t (a VARCHAR(9), b INT)");
            c.createStatement().execute("DELETE FROM t");
            c.createStatement().execute("INSERT INTO t VALUES ('x', 4)");
            return rows(c, "SELECT a, b FROM t");
        });
        add("hikari/pool", () -> {
            var config = new com.zaxxer.hikari.HikariConfig();
            config.setJdbcUrl("jdbc:h2:mem:hikari");
            config.setMaximumPoolSize(2);
            try (var source = new com.zaxxer.hikari.HikariDataSource(config); Connection c = source.getConnection()) {
                return c.isValid(1) + " " + c.unwrap(org.h2.jdbc.JdbcConnection.class).getAutoCommit();
            }
        });
        add("mybatis/mapper", () -> {
            var source = new org.apache.ibatis.datasource.unpooled.UnpooledDataSource("org.h2.Driver", "jdbc:h2:mem:mybatis;DB_CLOSE_DELAY=-1", "", "");
            try (Connection c = source.getConnection()) {
                c.createStatement().execute("CREATE TABLE IF NOT EXISTS person (name VARCHAR(20), age INT); DELETE FROM person; INSERT INTO person VALUES ('Ada', 36)");
            }
            var configuration = new org.apache.ibatis.session.Configuration(new org.apache.ibatis.mapping.Environment("e", new org.apache.ibatis.transaction.jdbc.JdbcTransactionFactory(), source));
            configuration.addMapper(Mapper.class);
            try (var session = new org.apache.ibatis.session.SqlSessionFactoryBuilder().build(configuration).openSession()) {
                return session.getMapper(Mapper.class).older(30).getFirst().getName();
            }
        });
        add("jooq/query", () -> {
            System.setProperty("org.jooq.no-logo", "true");
            System.setProperty("org.jooq.no-tips", "true");
            try (Connection c = h2()) {
                var create = org.jooq.impl.DSL.using(c);
                return create.select(org.jooq.impl.DSL.field("name"), org.jooq.impl.DSL.field("age")).from("person").where("age < ?", 30).fetch().formatCSV() + create.fetch("SELECT name, age FROM person").into(Person.class).size();
            }
        });
        add("jdbi/beans", () -> org.jdbi.v3.core.Jdbi.create(h2()).withHandle(h -> h.createQuery("SELECT * FROM person WHERE name = :n").bind("n", "Bob").mapToBean(Person.class).one().getAge()));
        add("hibernate/entities", () -> {
            try (var f = hibernate("e1"); var s = f.openSession()) {
                var t = s.beginTransaction();
                Author a = new Author();
                a.name = "Ada";
                s.persist(a);
                t.commit();
                return s.createQuery("select upper(a.name) from Author a where a.name like :n", String.class).setParameter("n", "A%").getSingleResult();
            }
        });
        add("hibernate/lazy-proxy", () -> {
            try (var f = hibernate("e2")) {
                Long id = f.fromTransaction(s -> {
                    Author a = new Author();
                    a.name = "lazy";
                    s.persist(a);
                    Book b = new Book();
                    b.title = "t";
                    b.author = a;
                    s.persist(b);
                    return b.id;
                });
                return f.fromTransaction(s -> {
                    Author a = s.find(Book.class, id).getAuthor();
                    return org.hibernate.Hibernate.isInitialized(a) + a.getName() + org.hibernate.Hibernate.isInitialized(a);
                });
            }
        });
        add("hibernate-validator/messages", () -> {
            Locale before = Locale.getDefault();
            Locale.setDefault(Locale.ENGLISH);
            try (var f = Validation.buildDefaultValidatorFactory()) {
                return f.getValidator().validate(new Person(" ", 3)).stream().map(v -> v.getPropertyPath() + " " + v.getMessage()).sorted().toList();
            } finally {
                Locale.setDefault(before);
            }
        });
        add("hibernate-validator/german", () -> {
            Locale before = Locale.getDefault();
            Locale.setDefault(Locale.GERMANY);
            try (var f = Validation.buildDefaultValidatorFactory()) {
                return f.getValidator().validate(new Person("", 30)).stream().map(v -> v.getMessage()).toList();
            } finally {
                Locale.setDefault(before);
            }
        });

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
        add("commons-io/streams", () -> org.apache.commons.io.IOUtils.toString(Tools.class.getResource("/templates/page.html"), StandardCharsets.UTF_8).length() + org.apache.commons.io.FilenameUtils.getExtension("a.tar.gz"));
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

        add("freemarker/template", () -> {
            var c = new freemarker.template.Configuration(freemarker.template.Configuration.VERSION_2_3_34);
            var w = new StringWriter();
            new freemarker.template.Template("t", new StringReader("${p.name} is ${p.age?string('000')} <#list [1,2] as x>${x}</#list>"), c).process(Map.of("p", new Person()), w);
            return w;
        });
        add("thymeleaf/template", () -> {
            var engine = new org.thymeleaf.TemplateEngine();
            var resolver = new org.thymeleaf.templateresolver.ClassLoaderTemplateResolver();
            resolver.setPrefix("templates/");
            resolver.setSuffix(".html");
            engine.setTemplateResolver(resolver);
            return engine.process("page", new org.thymeleaf.context.Context(Locale.ENGLISH, Map.of("person", new Person(), "items", List.of("x", "y"))));
        });
        add("mustache/template", () -> {
            var w = new StringWriter();
            new com.github.mustachejava.DefaultMustacheFactory().compile(new StringReader("{{name}}{{#age}} {{.}}{{/age}}"), "m").execute(w, new Person()).flush();
            return w;
        });
        add("handlebars/template", () -> new com.github.jknack.handlebars.Handlebars().compileInline("{{name}} {{#each tags}}{{@index}}{{this}}{{/each}}").apply(Map.of("name", "n", "tags", List.of("a", "b"))));
        add("velocity/template", () -> {
            var engine = new org.apache.velocity.app.VelocityEngine();
            engine.init();
            var w = new StringWriter();
            engine.evaluate(new org.apache.velocity.VelocityContext(new java.util.HashMap<>(Map.of("p", new Person()))), w, "v", "$p.name #foreach($i in [1..3])$i#end");
            return w;
        });
        add("mvel/expression", () -> org.mvel2.MVEL.eval("p.name.toUpperCase() + (p.age > 30 ? 'old' : 'young')", new java.util.HashMap<>(Map.of("p", new Person()))));
        add("mvel/compiled", () -> org.mvel2.MVEL.executeExpression(org.mvel2.MVEL.compileExpression("p.age * 2"), new java.util.HashMap<>(Map.of("p", new Person()))));
        add("jexl/expression", () -> new org.apache.commons.jexl3.JexlBuilder().permissions(org.apache.commons.jexl3.introspection.JexlPermissions.UNRESTRICTED).create().createExpression("p.name + p.age").evaluate(new org.apache.commons.jexl3.MapContext(new java.util.HashMap<>(Map.of("p", new Person())))));
        add("spel/expression", () -> new org.springframework.expression.spel.standard.SpelExpressionParser().parseExpression("name.length() + age + T(Math).max(1, 2)").getValue(new Person()));
        add("rhino/script", () -> {
            var c = org.mozilla.javascript.Context.enter();
            c.setInterpretedMode(true);
            try {
                return org.mozilla.javascript.Context.toString(c.evaluateString(c.initStandardObjects(), "[1,2,3].map(function(x){return x*x}).join('-')", "s", 1, null));
            } finally {
                org.mozilla.javascript.Context.exit();
            }
        });
        add("rhino/compiled", () -> {
            var c = org.mozilla.javascript.Context.enter();
            try {
                return org.mozilla.javascript.Context.toString(c.evaluateString(c.initStandardObjects(), "var s = 0; for (var i = 0; i < 10; i++) s += i; s", "s", 1, null));
            } finally {
                org.mozilla.javascript.Context.exit();
            }
        });
        add("rhino/script-engine", () -> new javax.script.ScriptEngineManager().getEngineByName("rhino").eval("1 + 2"));

        add("spring/context", () -> {
            try (var c = new org.springframework.context.annotation.AnnotationConfigApplicationContext(Beans.class)) {
                return c.getBean(Supplier.class).get() + " " + c.getBeansOfType(Greeter.class).keySet();
            }
        });
        add("spring/proxy-of-interface", () -> {
            var f = new org.springframework.aop.framework.ProxyFactory(new English());
            f.addAdvice((org.aopalliance.intercept.MethodInterceptor) i -> "advised " + i.proceed());
            return ((Greeter) f.getProxy()).greet();
        });
        add("spring/proxy-of-class", () -> {
            var f = new org.springframework.aop.framework.ProxyFactory(new Copy());
            f.setProxyTargetClass(true);
            f.addAdvice((org.aopalliance.intercept.MethodInterceptor) i -> i.getMethod().getName());
            return ((Copy) f.getProxy()).getName();
        });
        add("spring/bean-missing", () -> {
            try (var c = new org.springframework.context.support.GenericApplicationContext()) {
                c.refresh();
                return c.getBean(Greeter.class);
            }
        });
        add("spring/conversion", () -> new org.springframework.core.convert.support.DefaultConversionService().convert("1,2,3", int[].class).length + new org.springframework.beans.BeanWrapperImpl(new Person()).getPropertyValue("name").toString());
        add("guice/inject", () -> com.google.inject.Guice.createInjector(b -> b.bind(Greeter.class).to(English.class)).getInstance(Hall.class).greeter.greet());
        add("guice/missing", () -> com.google.inject.Guice.createInjector().getInstance(Hall.class) == null);

        add("byte-buddy/subclass", () -> new net.bytebuddy.ByteBuddy().subclass(Object.class).name("features.Built").method(net.bytebuddy.matcher.ElementMatchers.named("toString")).intercept(net.bytebuddy.implementation.FixedValue.value("built")).make().load(Tools.class.getClassLoader()).getLoaded().getDeclaredConstructor().newInstance());
        add("javassist/class", () -> {
            var c = javassist.ClassPool.getDefault().makeClass("features.Assisted");
            c.addMethod(javassist.CtNewMethod.make("public static String say() { return \"assisted\"; }", c));
            return c.toClass(Tools.class).getMethod("say").invoke(null);
        });
        add("javassist/proxy", () -> {
            var f = new javassist.util.proxy.ProxyFactory();
            f.setSuperclass(Copy.class);
            return ((Copy) f.create(new Class<?>[0], new Object[0], (self, m, proceed, args) -> "proxied " + m.getName())).getName();
        });

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
