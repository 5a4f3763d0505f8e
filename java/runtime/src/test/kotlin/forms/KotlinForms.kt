package forms

import com.amazonaws.services.lambda.runtime.Context
import com.amazonaws.services.lambda.runtime.RequestHandler
import com.amazonaws.services.lambda.runtime.RequestStreamHandler
import java.io.InputStream
import java.io.OutputStream

/** A data class whose parameters all have defaults has a constructor without arguments. */
data class Defaulted(var name: String = "none", var count: Int = 1, var tags: List<String> = listOf("a"), var kind: Kind? = null)

/** One without defaults has none. */
data class Strict(val name: String, val count: Int)

enum class Kind { TEA, JAM }

sealed class Shape { var area: Double = 0.0 }

class Circle : Shape() { var radius: Double = 1.0 }

class KotlinDefaulted : RequestHandler<Defaulted, Defaulted> {
    override fun handleRequest(input: Defaulted, context: Context): Defaulted = input.copy(count = input.count + 1)
}

class KotlinStrict : RequestHandler<Strict, Strict> {
    override fun handleRequest(input: Strict, context: Context): Strict = Strict(input.name, 0)
}

class KotlinStrictAnswer : RequestHandler<String, Strict> {
    override fun handleRequest(input: String, context: Context): Strict = Strict(input, 3)
}

class KotlinNullable : RequestHandler<Map<String, Any?>, Any?> {
    override fun handleRequest(input: Map<String, Any?>, context: Context): Any? = input["a"]
}

class KotlinUnit : RequestHandler<String, Unit> {
    override fun handleRequest(input: String, context: Context) {}
}

class KotlinPair : RequestHandler<List<Int>, Pair<Int, Int>> {
    override fun handleRequest(input: List<Int>, context: Context): Pair<Int, Int> = input.first() to input.size
}

class KotlinSubclass : RequestHandler<String, Shape> {
    override fun handleRequest(input: String, context: Context): Shape = Circle().apply { area = 2.0 }
}

class KotlinStream : RequestStreamHandler {
    override fun handleRequest(input: InputStream, output: OutputStream, context: Context) {
        output.write(input.readBytes().reversedArray())
    }
}

object KotlinObject : RequestHandler<String, String> {
    override fun handleRequest(input: String, context: Context): String = input
}

class KotlinMethods {
    fun greet(name: String): String = "hello $name"

    fun twice(n: Int): Int = n * 2

    fun maybe(n: Int?): Int? = n

    fun unit(name: String) {}

    suspend fun later(name: String): String = name

    @JvmOverloads
    fun overloaded(name: String, times: Int = 2): String = name.repeat(times)

    companion object {
        @JvmStatic
        fun still(name: String): String = "static $name"
    }
}
