package petclinic;

import org.springframework.http.HttpStatus;
import org.springframework.stereotype.Controller;
import org.springframework.ui.Model;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.server.ResponseStatusException;

@Controller
class Pages {
    private final OwnerRepository owners;
    private final VetRepository vets;

    Pages(OwnerRepository owners, VetRepository vets) {
        this.owners = owners;
        this.vets = vets;
    }

    @GetMapping("/")
    String welcome(Model model) {
        model.addAttribute("owners", owners.count());
        model.addAttribute("vets", vets.all());
        return "welcome";
    }

    @GetMapping("/owners")
    String owners(@RequestParam(defaultValue = "") String lastName, Model model) {
        model.addAttribute("owners", owners.findByLastNameStartingWithIgnoreCaseOrderByIdAsc(lastName));
        return "owners";
    }

    @GetMapping("/owners/{id}")
    String owner(@PathVariable int id, Model model) {
        Owner owner = owners.findById(id).orElseThrow(() -> new ResponseStatusException(HttpStatus.NOT_FOUND));
        model.addAttribute("owner", owner);
        return "owner";
    }
}
