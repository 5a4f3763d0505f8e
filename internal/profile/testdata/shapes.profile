cloudjit-profile 1
method Shapes sum ([LShapes$Shape;Ljava/util/function/IntUnaryOperator;)I hot
call 28 inlined 514704 class Shapes$Square 342793 class Shapes$Strip 171911
call 33 inlined 514703 lambda Shapes.twice(I)I 514703
branch 15 576 575669
method Shapes$Square area ()I hot
