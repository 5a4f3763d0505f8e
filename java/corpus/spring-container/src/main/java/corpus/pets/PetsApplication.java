package corpus.pets;

import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.http.HttpStatus;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.ResponseStatus;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.server.ResponseStatusException;

@SpringBootApplication
public class PetsApplication {
    public static void main(String[] args) {
        SpringApplication.run(PetsApplication.class, args);
    }

    public record Pet(String name, int age, List<String> tags) {}

    @RestController
    static class Pets {
        private final Map<String, Pet> all = new TreeMap<>(Map.of("rex", new Pet("rex", 3, List.of("dog"))));

        @GetMapping("/pets")
        List<Pet> list(@RequestParam(defaultValue = "0") int older) {
            return all.values().stream().filter(p -> p.age() > older).toList();
        }

        @GetMapping("/pets/{name}")
        Pet one(@PathVariable String name) {
            Pet pet = all.get(name);
            if (pet == null) {
                throw new ResponseStatusException(HttpStatus.NOT_FOUND, "no pet " + name);
            }
            return pet;
        }

        @PostMapping("/pets/check")
        @ResponseStatus(HttpStatus.CREATED)
        Pet check(@RequestBody Pet pet) {
            return new Pet(pet.name().toUpperCase(), pet.age() + 1, pet.tags());
        }
    }
}
