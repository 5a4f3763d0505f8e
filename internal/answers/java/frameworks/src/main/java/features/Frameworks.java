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
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Supplier;
import java.util.logging.Level;

/** Databases, templates, scripts, injection, generated classes. */
public final class Frameworks extends Corpus {
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

    public Frameworks() {
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

        add("byte-buddy/subclass", () -> new net.bytebuddy.ByteBuddy().subclass(Object.class).name("features.Built").method(net.bytebuddy.matcher.ElementMatchers.named("toString")).intercept(net.bytebuddy.implementation.FixedValue.value("built")).make().load(Frameworks.class.getClassLoader()).getLoaded().getDeclaredConstructor().newInstance());
        add("javassist/class", () -> {
            var c = javassist.ClassPool.getDefault().makeClass("features.Assisted");
            c.addMethod(javassist.CtNewMethod.make("public static String say() { return \"assisted\"; }", c));
            return c.toClass(Frameworks.class).getMethod("say").invoke(null);
        });
        add("javassist/proxy", () -> {
            var f = new javassist.util.proxy.ProxyFactory();
            f.setSuperclass(Copy.class);
            return ((Copy) f.create(new Class<?>[0], new Object[0], (self, m, proceed, args) -> "proxied " + m.getName())).getName();
        });
    }
}
