cloudjit-profile 1
method Odd apply ([ILjava/util/function/IntUnaryOperator;Ljava/util/function/Function;)I hot
call 31 inlined 44600 lambda Odd.lambda$main$0(II)I 44600
call 39 inlined 44600
call 42 inlined 44600 lambda java.lang.Integer.reverse(I)I 44600
call 50 inlined 44600 holder java.lang.Integer 44600
branch 17 326 65200
method Odd areas (Ljava/util/List;I)J hot
call 3 inlined 167 class java.util.ArrayList 167
call 12 inlined 50442 class java.util.ArrayList$Itr 50442
call 22 inlined 50274 holder java.util.ArrayList$Itr 50274
call 36 called 50274 class Odd$Square 32846 class Odd$Strip 16422
call 55 inlined 2347 holder java.lang.Throwable 2347
call 58 inlined 2347 holder java.lang.String 2347
branch 17 272 81281
method Odd checks ([I[Ljava/lang/Object;I)I hot
call 20 inlined 24574
call 30 inlined 17408
call 52 called 8710
call 55 inlined 8710 holder java.lang.Class 8710
call 58 inlined 8710 holder java.lang.String 8710
branch 9 717 28696
method Odd count (LOdd$Counter;I)I hot
call 26 inlined 49142 holder Odd$Counter 49142
branch 7 594 59451
branch 18 58263 1188
method Odd element ([II)I hot
method Odd length (Ljava/lang/Object;)I cold
call 4 inlined 10187 holder java.lang.String 10187
method Odd$Counter next (I)I hot
call 10 inlined 1083
branch 1 53632 1093
method Odd$Hole area (I)J hot
method Odd$Node sum ()I hot
call 19 inlined 2558 holder Odd$Node 2558
call 38 inlined 2557 holder Odd$Node 2557
branch 8 2814 2818
branch 27 2813 2818
method Odd$Square area (I)J hot
method Odd$Strip area (I)J hot
call 18 inlined 823
call 23 inlined 823
branch 7 5377 896
method java.lang.ArrayIndexOutOfBoundsException <init> (Ljava/lang/String;)V hot
call 2 inlined 5119
method java.lang.Byte toUnsignedInt (B)I hot
method java.lang.Class getName ()Ljava/lang/String; cold
branch 6 0 10248
method java.lang.ClassCastException <init> (Ljava/lang/String;)V hot
call 2 inlined 5119
method java.lang.Exception <init> (Ljava/lang/String;)V cold
call 2 inlined 18936
method java.lang.IllegalArgumentException <init> (Ljava/lang/String;)V hot
call 2 inlined 5119
method java.lang.IllegalStateException <init> (Ljava/lang/String;)V cold
call 2 called 0
method java.lang.IndexOutOfBoundsException <init> (Ljava/lang/String;)V cold
call 2 inlined 5120
method java.lang.Integer <init> (I)V cold
call 1 inlined 24799
method java.lang.Integer valueOf (I)Ljava/lang/Integer; hot
call 28 inlined 24912
branch 3 3081 55370
branch 10 21879 33491
method java.lang.Number <init> ()V cold
call 1 inlined 24884
method java.lang.Object <init> ()V hot
method java.lang.RuntimeException <init> (Ljava/lang/String;)V hot
call 2 inlined 18936
method java.lang.String <init> ([BB)V cold
call 1 inlined 0
method java.lang.String coder ()B hot
branch 3 0 40191
method java.lang.String getBytes ([BIB)V hot
call 1 inlined 5159 holder java.lang.String 5159
call 22 called 5159
branch 5 0 5415
method java.lang.String length ()I hot
call 6 inlined 33823 holder java.lang.String 33823
method java.lang.StringConcatHelper checkOverflow (I)I cold
branch 1 0 5322
method java.lang.StringConcatHelper newArray (I)[B cold
call 21 called 0
method java.lang.StringConcatHelper newArrayWithSuffix (Ljava/lang/String;IB)[B cold
call 2 called 0
call 8 inlined 0
call 20 called 0
method java.lang.StringConcatHelper prepend (IB[BILjava/lang/String;)I hot
call 7 inlined 5119
call 14 inlined 5119 holder java.lang.String 5119
call 24 inlined 5119 holder java.lang.String 5119
branch 1 0 5287
method java.lang.StringConcatHelper stringSize (II)I hot
call 2 inlined 5119
call 6 inlined 5119
method java.lang.StringConcatHelper$Concat1 concat (I)Ljava/lang/String; cold
call 5 called 0
call 18 called 0
call 29 inlined 0
call 48 called 0
call 62 inlined 0
method java.lang.Throwable <init> (Ljava/lang/String;)V hot
call 1 inlined 5205
call 24 inlined 5205 class java.lang.IllegalStateException 2397 class java.lang.IllegalArgumentException 344
branch 36 5716 0
method java.lang.Throwable fillInStackTrace ()Ljava/lang/Throwable; hot
call 16 called 9426
branch 4 9938 0
method java.lang.invoke.DirectMethodHandle$Holder invokeSpecial (Ljava/lang/Object;Ljava/lang/Object;I)Ljava/lang/Object; cold
call 1 inlined 0
call 11 inlined 0
method java.lang.invoke.Invokers$Holder linkToTargetMethod (ILjava/lang/Object;)Ljava/lang/Object; cold
call 5 inlined 0
method java.util.ArrayList iterator ()Ljava/util/Iterator; cold
call 5 inlined 0
method java.util.ArrayList$Itr <init> (Ljava/util/ArrayList;)V cold
call 3 inlined 0
call 11 inlined 0
method java.util.ArrayList$Itr checkForComodification ()V cold
branch 11 5376 0
method java.util.ArrayList$Itr hasNext ()Z hot
branch 11 18 5358
method java.util.ArrayList$Itr next ()Ljava/lang/Object; hot
call 1 inlined 5120 holder java.util.ArrayList$Itr 5120
branch 17 5376 0
branch 39 5376 0
method jdk.internal.misc.Unsafe allocateUninitializedArray (Ljava/lang/Class;I)Ljava/lang/Object; hot
call 16 inlined 5471 holder java.lang.Class 5471
call 51 called 5475
branch 1 7519 0
branch 19 7519 0
branch 34 7519 0
method jdk.internal.misc.Unsafe allocateUninitializedArray0 (Ljava/lang/Class;I)Ljava/lang/Object; hot
branch 4 0 5707
method jdk.internal.util.DecimalDigits stringSize (I)I hot
branch 3 0 5293
branch 19 0 14365
branch 24 9072 5293
method jdk.internal.util.DecimalDigits uncheckedGetCharsLatin1 (II[B)I cold
call 45 inlined 3597
call 67 inlined 1440
call 83 inlined 3597
branch 4 5293 0
branch 16 0 5293
branch 25 5293 3780
branch 56 3780 1513
branch 88 5293 0
method jdk.internal.util.DecimalDigits uncheckedPutCharLatin1 ([BII)V hot
call 36 called 1
branch 3 5745 0
method jdk.internal.util.DecimalDigits uncheckedPutPairLatin1 ([BII)V cold
call 16 inlined 5038
call 27 inlined 5038
