package petclinic;

import jakarta.validation.Valid;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.springframework.http.HttpStatus;
import org.springframework.http.ResponseEntity;
import org.springframework.validation.FieldError;
import org.springframework.web.bind.MethodArgumentNotValidException;
import org.springframework.web.bind.annotation.DeleteMapping;
import org.springframework.web.bind.annotation.ExceptionHandler;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RequestMapping;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.ResponseStatus;
import org.springframework.web.bind.annotation.RestController;

@RestController
@RequestMapping("/api")
class Api {
    private final OwnerRepository owners;
    private final VetRepository vets;

    Api(OwnerRepository owners, VetRepository vets) {
        this.owners = owners;
        this.vets = vets;
    }

    @GetMapping("/vets")
    List<Vet> vets() {
        return vets.all();
    }

    @GetMapping("/owners")
    List<Owner> owners(@RequestParam(defaultValue = "") String lastName) {
        return owners.findByLastNameStartingWithIgnoreCaseOrderByIdAsc(lastName);
    }

    @GetMapping("/owners/{id}")
    ResponseEntity<Owner> owner(@PathVariable int id) {
        return ResponseEntity.of(owners.findById(id));
    }

    @PostMapping("/owners")
    @ResponseStatus(HttpStatus.CREATED)
    Owner add(@Valid @RequestBody Owner owner) {
        return owners.save(owner);
    }

    @DeleteMapping("/owners/{id}")
    @ResponseStatus(HttpStatus.NO_CONTENT)
    void remove(@PathVariable int id) {
        owners.deleteById(id);
    }

    @ExceptionHandler(MethodArgumentNotValidException.class)
    @ResponseStatus(HttpStatus.BAD_REQUEST)
    Map<String, String> invalid(MethodArgumentNotValidException e) {
        Map<String, String> fields = new LinkedHashMap<>();
        e.getBindingResult().getFieldErrors().stream()
                .sorted((a, b) -> a.getField().compareTo(b.getField()))
                .forEach((FieldError error) -> fields.put(error.getField(), error.getDefaultMessage()));
        return fields;
    }
}
