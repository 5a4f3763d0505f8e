package cases;

import com.thoughtworks.xstream.XStream;
import com.thoughtworks.xstream.io.xml.StaxDriver;
import java.util.ArrayList;
import java.util.List;

/** Objects to XML and back, by fields. */
final class XStreamCase implements Case {
    static class Person {
        String name;
        int age;
        List<Person> children = new ArrayList<>();

        Person(String name, int age) {
            this.name = name;
            this.age = age;
        }
    }

    @Override
    public void run() {
        XStream xstream = new XStream(new StaxDriver());
        xstream.allowTypes(new Class<?>[] {Person.class});
        xstream.alias("person", Person.class);
        Person person = new Person("Ann", 40);
        person.children.add(new Person("Bob", 9));
        String xml = xstream.toXML(person);
        System.out.println(xml);
        Person back = (Person) xstream.fromXML(xml);
        System.out.println(back.name + " " + back.children.get(0).name + " " + back.children.get(0).age);
    }
}
