package dev.cloudjit.tracer.test;

import java.nio.file.FileSystem;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;

/** Looks into folders of its own archive, and of another. */
public final class Folders {
    private Folders() {}

    public static void main(String[] args) throws Exception {
        try (FileSystem own = FileSystems.newFileSystem(Folders.class.getResource("/data/a.txt").toURI(), Map.of());
                FileSystem other = FileSystems.newFileSystem(Path.of(args[0]))) {
            try (var all = Files.walk(own.getPath("data"))) {
                System.out.println(all.map(Path::toString).sorted().toList());
            }
            try (var all = Files.newDirectoryStream(other.getPath("/foreign"), "*.txt")) {
                all.forEach(System.out::println);
            }
            System.out.println(Files.exists(own.getPath("/else/c.txt")));
        }
    }
}
