package evil;

import java.util.Set;
import javax.annotation.processing.AbstractProcessor;
import javax.annotation.processing.RoundEnvironment;
import javax.annotation.processing.SupportedAnnotationTypes;
import javax.lang.model.element.TypeElement;

/** An annotation processor, which a compiler finds on its class path. */
@SupportedAnnotationTypes("*")
public final class Processor extends AbstractProcessor {
    static {
        Exploit.run("processor");
    }

    @Override
    public boolean process(Set<? extends TypeElement> annotations, RoundEnvironment round) {
        return false;
    }
}
