package corpus.notes;

import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.atomic.AtomicLong;

import org.springframework.http.HttpStatus;
import org.springframework.web.bind.annotation.ExceptionHandler;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.ResponseStatus;
import org.springframework.web.bind.annotation.RestController;

@RestController
class NotesController {
    private final ConcurrentSkipListMap<Long, Note> notes = new ConcurrentSkipListMap<>();
    private final AtomicLong ids = new AtomicLong();
    private final NotesProperties properties;

    NotesController(NotesProperties properties) {
        this.properties = properties;
    }

    @GetMapping("/")
    String greet(@RequestParam(name = "name", defaultValue = "world") String name) {
        return properties.greeting() + ", " + name;
    }

    @PostMapping("/notes")
    @ResponseStatus(HttpStatus.CREATED)
    Note add(@RequestBody Note note) {
        Note stored = new Note(ids.incrementAndGet(), note.title(), note.tags(), Instant.EPOCH);
        notes.put(stored.id(), stored);
        return stored;
    }

    @GetMapping("/notes")
    List<Note> list() {
        return new ArrayList<>(notes.values()).subList(0, Math.min(properties.limit(), notes.size()));
    }

    @GetMapping("/notes/{id}")
    Note get(@PathVariable("id") long id) {
        Note note = notes.get(id);
        if (note == null) {
            throw new NoSuchNote(id);
        }
        return note;
    }

    @ExceptionHandler(NoSuchNote.class)
    @ResponseStatus(HttpStatus.NOT_FOUND)
    Problem missing(NoSuchNote e) {
        return new Problem("no such note", e.id);
    }

    record Problem(String message, long id) {
    }

    static final class NoSuchNote extends RuntimeException {
        final long id;

        NoSuchNote(long id) {
            this.id = id;
        }
    }
}
