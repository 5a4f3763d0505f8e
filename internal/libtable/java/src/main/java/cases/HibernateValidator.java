package cases;

import jakarta.validation.Constraint;
import jakarta.validation.ConstraintValidator;
import jakarta.validation.ConstraintValidatorContext;
import jakarta.validation.Payload;
import jakarta.validation.Valid;
import jakarta.validation.Validation;
import jakarta.validation.Validator;
import jakarta.validation.ValidatorFactory;
import jakarta.validation.constraints.Email;
import jakarta.validation.constraints.Max;
import jakarta.validation.constraints.NotBlank;
import jakarta.validation.constraints.Size;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.util.List;

/** Constraints, own ones too, on a bean and a record. */
final class HibernateValidator implements Case {
    @Constraint(validatedBy = EvenValidator.class)
    @Retention(RetentionPolicy.RUNTIME)
    @interface Even {
        String message() default "must be even, not ${validatedValue}";

        Class<?>[] groups() default {};

        Class<? extends Payload>[] payload() default {};
    }

    public static class EvenValidator implements ConstraintValidator<Even, Integer> {
        @Override
        public boolean isValid(Integer value, ConstraintValidatorContext context) {
            return value == null || value % 2 == 0;
        }
    }

    record Address(@NotBlank String street, @Size(min = 2, max = 5) String zip) {}

    static class User {
        @NotBlank @Email String mail = "nobody";
        @Max(10) @Even int count = 11;
        @Valid List<Address> addresses = List.of(new Address("", "123456"));
    }

    @Override
    public void run() {
        try (ValidatorFactory factory = Validation.buildDefaultValidatorFactory()) {
            Validator validator = factory.getValidator();
            validator.validate(new User()).stream().map(v -> v.getPropertyPath() + ": " + v.getMessage()).sorted().forEach(System.out::println);
        }
    }
}
