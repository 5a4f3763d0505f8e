package petclinic;

import java.util.List;
import org.springframework.data.jpa.repository.Query;
import org.springframework.data.repository.Repository;

public interface VetRepository extends Repository<Vet, Integer> {
    @Query("select v from Vet v order by v.name")
    List<Vet> all();
}
