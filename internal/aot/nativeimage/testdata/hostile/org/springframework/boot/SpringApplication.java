package org.springframework.boot;

/** By this name the framework is known. */
public final class SpringApplication {
}
