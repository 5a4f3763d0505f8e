package cases;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.slf4j.MDC;

/** SLF4J with logback, configured by logback.xml. */
final class Logback implements Case {
    @Override
    public void run() {
        Logger logger = LoggerFactory.getLogger("app");
        MDC.put("request", "r1");
        logger.info("hello {} and {}", "a", 2);
        logger.debug("not shown");
        logger.error("failed", new IllegalStateException("why"));
        LoggerFactory.getLogger("app.detail").debug("shown");
    }
}
