package forms

import com.amazonaws.services.lambda.runtime.{Context, RequestHandler, RequestStreamHandler}
import java.io.{InputStream, OutputStream}
import java.util
import scala.beans.BeanProperty

/** As the samples for Scala have it. */
class ScalaBean {
  @BeanProperty var name: String = _
  @BeanProperty var count: Int = 0
}

case class ScalaCase(name: String, count: Int)

class ScalaOfBean extends RequestHandler[ScalaBean, ScalaBean] {
  override def handleRequest(input: ScalaBean, context: Context): ScalaBean = { input.setCount(input.getCount + 1); input }
}

class ScalaOfCase extends RequestHandler[ScalaCase, ScalaCase] {
  override def handleRequest(input: ScalaCase, context: Context): ScalaCase = input.copy(count = 0)
}

class ScalaOfMap extends RequestHandler[util.Map[String, AnyRef], String] {
  override def handleRequest(input: util.Map[String, AnyRef], context: Context): String = input.toString
}

class ScalaOption extends RequestHandler[String, Option[String]] {
  override def handleRequest(input: String, context: Context): Option[String] = Some(input)
}

class ScalaList extends RequestHandler[String, List[String]] {
  override def handleRequest(input: String, context: Context): List[String] = List(input, input)
}

trait ScalaEcho[A] extends RequestHandler[A, A] {
  override def handleRequest(input: A, context: Context): A = input
}

class ScalaByTrait extends ScalaEcho[String]

class ScalaStream extends RequestStreamHandler {
  override def handleRequest(input: InputStream, output: OutputStream, context: Context): Unit = output.write(input.readAllBytes())
}

class ScalaMethods {
  def greet(name: String): String = s"hello $name"

  def sum(numbers: util.List[Integer]): Int = numbers.stream.mapToInt(_.intValue).sum

  def unit(name: String): Unit = ()

  def defaulted(name: String, context: Context = null): String = name
}
