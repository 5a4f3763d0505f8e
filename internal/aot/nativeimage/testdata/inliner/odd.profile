cloudjit-profile 1
method Odd apply ([ILjava/util/function/IntUnaryOperator;Ljava/util/function/Function;)I hot
call 31 inlined 49032 lambda Odd.lambda$main$0(II)I 49032
call 39 inlined 49032
call 42 inlined 49032 lambda java.lang.Integer.reverse(I)I 49032
call 50 inlined 49032 holder java.lang.Integer 49032
branch 17 348 69562
method Odd areas (Ljava/util/List;I)J hot
call 3 inlined 153 class java.util.ArrayList 153
call 12 inlined 46228 class java.util.ArrayList$Itr 46228
call 22 inlined 46074 holder java.util.ArrayList$Itr 46074
call 36 called 46074 class Odd$Square 30102 class Odd$Strip 15050
call 55 inlined 2151 holder java.lang.Throwable 2151
call 58 inlined 2151 holder java.lang.String 2151
branch 17 258 77091
method Odd checks ([I[Ljava/lang/Object;I)I hot
call 20 inlined 24574
call 30 inlined 17408
call 52 called 8710
call 55 inlined 8710 holder java.lang.Class 8710
call 58 inlined 8710 holder java.lang.String 8710
branch 9 717 28696
method Odd count (LOdd$Counter;I)I hot
call 26 inlined 41950 holder Odd$Counter 41950
branch 7 523 52262
branch 18 51217 1045
method Odd element ([II)I hot
method Odd lambda$stream$0 (I)Z cold
branch 3 12865 25536
method Odd lambda$stream$1 (I)Ljava/lang/String; cold
call 11 inlined 56118
branch 3 56530 13736
method Odd lambda$stream$2 (Ljava/lang/String;)Z cold
branch 1 13736 56530
method Odd lambda$stream$3 (Ljava/util/List;Ljava/lang/String;)Ljava/util/stream/Stream; cold
call 1 inlined 56018 class java.util.ImmutableCollections$ListN 56018
call 7 inlined 56018
call 12 inlined 56018 holder java.util.stream.ReferencePipeline 56018
method Odd lambda$stream$4 (Ljava/lang/String;Ljava/lang/String;)Ljava/lang/String; cold
call 2 inlined 7168
method Odd length (Ljava/lang/Object;)I cold
call 4 inlined 10187 holder java.lang.String 10187
method Odd loop (LOdd$Source;I)I hot
call 12 inlined 67040 class Odd$1 65440 class Odd$Twice 1600
branch 6 53463 4216668
method Odd$1 next (I)I hot
call 28 inlined 7841 class Odd$1 7841
branch 16 7969 15566
method Odd$Counter next (I)I hot
call 10 inlined 940
branch 1 46583 950
method Odd$Early run ()V hot
call 4 inlined 245 holder java.util.concurrent.CountDownLatch 245
call 20 inlined 49128 holder java.util.concurrent.CountDownLatch 49128
branch 13 505 100863
method Odd$Hole area (I)J hot
method Odd$Node sum ()I hot
call 19 inlined 4858 holder Odd$Node 4858
call 38 inlined 4858 holder Odd$Node 4858
branch 8 5114 5122
branch 27 5114 5122
method Odd$Square area (I)J hot
method Odd$Strip area (I)J hot
call 18 inlined 731
call 23 inlined 731
branch 7 4828 804
method Odd$Twice next (I)I hot
call 6 inlined 99489 class Odd$1 99489
method Rare all (III)Ljava/lang/String; hot
call 3 inlined 77878
call 11 inlined 77878
call 23 inlined 77878
call 29 called 77878
call 32 inlined 77359 holder java.lang.StringBuilder 77359
call 37 inlined 77359 holder java.lang.StringBuilder 77359
call 45 inlined 77359
call 49 called 77359
call 52 inlined 77358 holder java.lang.StringBuilder 77358
call 57 inlined 77358 holder java.lang.StringBuilder 77358
call 70 inlined 519 holder java.lang.Throwable 519
call 73 called 519
call 78 called 519
call 89 inlined 77877
call 93 called 77877
call 96 inlined 77358 holder java.lang.StringBuilder 77358
call 101 inlined 77358 holder java.lang.StringBuilder 77358
call 114 inlined 519 holder java.lang.Throwable 519
call 117 called 519
call 122 called 519
call 133 inlined 77877
call 136 called 77877
call 139 inlined 77877 holder java.lang.StringBuilder 77877
call 144 inlined 77877 holder java.lang.StringBuilder 77877
call 155 inlined 77877
call 158 inlined 77877
call 161 inlined 77358 holder java.lang.StringBuilder 77358
call 166 inlined 77358 holder java.lang.StringBuilder 77358
call 179 inlined 519 holder java.lang.Throwable 519
call 182 called 519
call 187 called 519
call 210 inlined 77877
call 214 called 77877
call 217 inlined 77877 holder java.lang.StringBuilder 77877
call 222 inlined 77877 holder java.lang.StringBuilder 77877
call 261 inlined 77877
call 265 inlined 77877
call 268 inlined 77877 holder java.lang.StringBuilder 77877
call 290 inlined 77877 holder java.lang.StringBuilder 77877
method Rare caught ([LRare$Op;LRare$State;)J hot
call 23 inlined 430284 class Rare$Often 429853 class Rare$Seldom 431
call 54 inlined 144 holder java.lang.Throwable 144
call 57 called 144
branch 12 21717 434324
branch 74 145 0
method Rare chain (LRare$Op;LRare$Op;LRare$Op;LRare$State;I)Ljava/lang/String; hot
call 4 inlined 22560
call 20 inlined 22560
call 29 inlined 22560 class Rare$Often 22560
call 61 inlined 22560 holder java.util.ArrayList 22560
call 71 inlined 22560 class Rare$Often 22560
call 175 inlined 22561
call 178 inlined 22561
call 209 inlined 22561 class Rare$Often 22561
call 241 called 22561
call 254 inlined 22561
branch 40 25295 0
branch 87 25296 126477
branch 244 25296 0
method Rare locked ([LRare$Op;LRare$State;)J cold
call 46 inlined 18927 class Rare$Often 18908 class Rare$Seldom 19
call 81 called 943
branch 17 77939 1564320
branch 84 77939 0
method Rare nested ([LRare$Op;LRare$State;I)J hot
call 43 inlined 18854 class Rare$Often 18823 class Rare$Seldom 31
branch 11 12 1771
branch 27 901 25006
branch 61 24135 866
branch 76 24135 0
method Rare ops (III)[LRare$Op; hot
call 28 inlined 431
call 44 inlined 429673
branch 11 21711 434204
branch 20 433769 435
method Rare scan ([LRare$Op;LRare$State;I)Ljava/lang/String; hot
call 20 inlined 2510
call 48 inlined 37635 class Rare$Often 37602 class Rare$Seldom 33
call 111 inlined 18875 holder Rare$Point 18875
call 130 inlined 1252
call 133 inlined 1252
call 167 inlined 1251
call 174 inlined 1251
branch 32 1392 41878
branch 98 21003 20866
branch 118 19610 1393
method Rare steady (LRare$Op;LRare$Op;LRare$State;I)I cold
call 35 inlined 18704 class Rare$Often 18704
call 48 inlined 18704 holder Rare$Often 18704
branch 9 78527 1569196
branch 21 1569196 0
branch 75 0 1569196
method Rare$Often <init> (I)V hot
call 1 inlined 425102
method Rare$Often at (LRare$State;I)I hot
method Rare$Point <init> (IJ)V cold
call 1 inlined 62330
method Rare$Point plus (I)LRare$Point; hot
call 21 inlined 7295
method Rare$Point toString ()Ljava/lang/String; hot
call 1 inlined 101917
method Rare$Seldom <init> (I)V cold
call 1 inlined 0
method Rare$Seldom at (LRare$State;I)I cold
call 29 called 0
call 63 inlined 0
call 85 inlined 0
call 90 called 0
method Rare$State <init> ()V hot
call 1 inlined 175771
method java.lang.AbstractStringBuilder <init> (I)V hot
call 1 inlined 108706
branch 7 0 110768
method java.lang.AbstractStringBuilder append (C)Ljava/lang/AbstractStringBuilder; cold
call 18 inlined 6271
call 33 inlined 6271
call 49 called 754
call 67 inlined 6271
branch 36 486455 66483
branch 70 0 552938
method java.lang.AbstractStringBuilder append (I)Ljava/lang/AbstractStringBuilder; hot
call 12 inlined 80409
call 25 inlined 80409
call 31 inlined 80409
call 42 inlined 80409
branch 34 0 80415
method java.lang.AbstractStringBuilder append (J)Ljava/lang/AbstractStringBuilder; hot
call 14 inlined 143709
call 27 inlined 143709
call 33 inlined 143709
call 44 inlined 143709
branch 36 0 144221
method java.lang.AbstractStringBuilder append (Ljava/lang/String;)Ljava/lang/AbstractStringBuilder; hot
call 26 inlined 160238 holder java.lang.String 160238
call 33 inlined 160238 holder java.lang.String 160238
call 49 inlined 160238
call 66 inlined 118828
call 87 inlined 160238 holder java.lang.String 160238
branch 1 162288 0
branch 52 41940 120348
method java.lang.AbstractStringBuilder ensureCapacityNewCoder ([BBIIB)[B hot
call 54 inlined 162073
call 100 inlined 162073
branch 3 162116 0
branch 42 162116 0
branch 62 162116 0
branch 84 0 162116
branch 91 0 162116
method java.lang.AbstractStringBuilder ensureCapacitySameCoder ([BBI)[B hot
call 15 called 545
call 20 called 545
branch 8 164431 546
method java.lang.AbstractStringBuilder isLatin1 ()Z cold
call 4 inlined 110022
method java.lang.AbstractStringBuilder isLatin1 (B)Z hot
branch 3 0 341334
branch 7 0 341334
method java.lang.AbstractStringBuilder needsNewBuffer ([BBIB)Z hot
branch 8 0 7529
branch 17 1495 6034
branch 24 6034 0
method java.lang.AbstractStringBuilder newCapacity ([BBI)I hot
call 22 inlined 161840
branch 31 161883 0
method java.lang.ArrayIndexOutOfBoundsException <init> (Ljava/lang/String;)V hot
call 2 inlined 6143
method java.lang.Byte toUnsignedInt (B)I hot
method java.lang.Class getName ()Ljava/lang/String; cold
branch 6 0 10250
method java.lang.Double toString (D)Ljava/lang/String; cold
call 1 inlined 2793
method java.lang.Exception <init> (Ljava/lang/String;)V cold
call 2 inlined 20694
method java.lang.IllegalArgumentException <init> (Ljava/lang/String;)V hot
call 2 inlined 5119
method java.lang.IllegalStateException <init> (Ljava/lang/String;)V cold
call 2 called 0
method java.lang.IndexOutOfBoundsException <init> (Ljava/lang/String;)V cold
call 2 inlined 6144
method java.lang.Integer <init> (I)V cold
call 1 inlined 31154
method java.lang.Integer numberOfLeadingZeros (I)I hot
branch 1 96000 0
branch 22 0 96000
branch 37 96000 0
branch 51 0 96000
branch 63 95678 322
method java.lang.Integer reverse (I)I hot
call 49 called 9689
method java.lang.Integer toString (I)Ljava/lang/String; hot
call 1 inlined 56020
call 18 inlined 56020
call 28 inlined 56020
branch 8 0 56532
method java.lang.Integer valueOf (I)Ljava/lang/Integer; hot
call 28 inlined 31339
branch 3 5012 65013
branch 10 26558 38455
method java.lang.Math min (II)I hot
branch 2 2600 4933
method java.lang.Math multiplyHigh (JJ)J hot
method java.lang.Number <init> ()V cold
call 1 inlined 31167
method java.lang.Object <init> ()V hot
method java.lang.Record <init> ()V hot
call 1 inlined 496748
method java.lang.RuntimeException <init> (Ljava/lang/String;)V hot
call 2 inlined 20693
method java.lang.String <init> (Ljava/lang/AbstractStringBuilder;Ljava/lang/Void;)V hot
call 1 inlined 110282
call 5 inlined 110282 holder java.lang.AbstractStringBuilder 110282
call 10 inlined 110282 holder java.lang.StringBuilder 110282
call 16 inlined 110282 holder java.lang.AbstractStringBuilder 110282
call 32 inlined 110282
branch 19 0 110357
method java.lang.String <init> (Ljava/lang/String;)V cold
call 1 inlined 2389
method java.lang.String <init> (Ljava/nio/charset/Charset;[BII)V hot
call 1 inlined 95924
call 366 inlined 95924
branch 6 96426 0
branch 34 96426 0
branch 350 0 96426
branch 356 0 96426
method java.lang.String <init> ([BB)V hot
call 1 inlined 273823
method java.lang.String <init> ([BIILjava/nio/charset/Charset;)V cold
call 3 inlined 2827
call 14 inlined 2827
call 18 called 2827
method java.lang.String checkBoundsOffCount (III)I cold
call 6 inlined 4158
method java.lang.String coder ()B hot
branch 3 0 1456357
method java.lang.String getBytes ([BIB)V hot
call 1 inlined 5120 holder java.lang.String 5120
call 22 called 5120
branch 5 0 5376
method java.lang.String hashCode ()I hot
call 17 inlined 75414 holder java.lang.String 75414
call 27 inlined 75414
branch 6 1393 75763
branch 13 41 75722
branch 20 0 75722
branch 42 75722 0
method java.lang.String isEmpty ()Z cold
branch 5 59760 2527
method java.lang.String isLatin1 ()Z cold
branch 3 0 79869
branch 10 0 79869
method java.lang.String length ()I hot
call 6 inlined 1284075 holder java.lang.String 1284075
method java.lang.String toString ()Ljava/lang/String; hot
method java.lang.String valueOf (Ljava/lang/Object;)Ljava/lang/String; cold
call 11 inlined 66202 holder java.util.AbstractCollection 66202 holder Rare$Point 4879 class java.lang.String 5 class java.lang.Class 1
branch 1 82386 0
method java.lang.StringBuilder <init> ()V cold
call 3 inlined 121961
method java.lang.StringBuilder append (C)Ljava/lang/StringBuilder; cold
call 2 inlined 549799
method java.lang.StringBuilder append (I)Ljava/lang/StringBuilder; cold
call 2 inlined 82041
method java.lang.StringBuilder append (J)Ljava/lang/StringBuilder; cold
call 2 inlined 236638
method java.lang.StringBuilder append (Ljava/lang/Object;)Ljava/lang/StringBuilder; cold
call 2 inlined 25541
call 5 inlined 25541 holder java.lang.StringBuilder 25541
method java.lang.StringBuilder append (Ljava/lang/String;)Ljava/lang/StringBuilder; cold
call 2 inlined 280502
method java.lang.StringBuilder length ()I cold
call 1 inlined 229909
method java.lang.StringBuilder toString ()Ljava/lang/String; cold
call 1 inlined 119886 holder java.lang.StringBuilder 119886
call 16 inlined 119886
branch 4 120529 0
method java.lang.StringCoding countNonZeroAsciiLatin1 ([BII)I hot
branch 10 995 21743
branch 17 21743 0
method java.lang.StringConcatHelper checkOverflow (I)I hot
branch 1 0 573339
method java.lang.StringConcatHelper doConcat (Ljava/lang/String;Ljava/lang/String;)Ljava/lang/String; cold
call 1 inlined 28286 holder java.lang.String 28286
call 5 inlined 28286 holder java.lang.String 28286
call 12 inlined 28286 holder java.lang.String 28286
call 16 inlined 28286 holder java.lang.String 28286
call 20 inlined 28286
call 27 inlined 28286
call 37 inlined 28286 holder java.lang.String 28286
call 44 inlined 28286 holder java.lang.String 28286
call 48 inlined 28286 holder java.lang.String 28286
call 58 inlined 28286
method java.lang.StringConcatHelper newArray (I)[B cold
call 21 inlined 224516 holder jdk.internal.misc.Unsafe 224516
branch 1 224656 0
method java.lang.StringConcatHelper newArrayWithSuffix (Ljava/lang/String;IB)[B cold
call 2 inlined 181908 holder java.lang.String 181908
call 8 inlined 181908
call 20 inlined 181908 holder java.lang.String 181908
branch 13 0 181999
method java.lang.StringConcatHelper prepend (IB[BILjava/lang/String;)I hot
call 7 inlined 5251
call 14 inlined 5251 holder java.lang.String 5251
call 24 inlined 5251 holder java.lang.String 5251
branch 1 0 5324
method java.lang.StringConcatHelper prepend (IB[BJLjava/lang/String;)I hot
call 7 inlined 163364
call 14 inlined 163364 holder java.lang.String 163364
call 24 inlined 163364 holder java.lang.String 163364
branch 1 0 163876
method java.lang.StringConcatHelper prepend (IB[BLjava/lang/String;Ljava/lang/String;)I hot
call 2 inlined 151611 holder java.lang.String 151611
call 15 inlined 151611 holder java.lang.String 151611
call 21 inlined 151611 holder java.lang.String 151611
call 31 inlined 151611 holder java.lang.String 151611
branch 8 0 152123
method java.lang.StringConcatHelper simpleConcat (Ljava/lang/Object;Ljava/lang/Object;)Ljava/lang/String; cold
call 1 inlined 30572
call 6 inlined 30572
call 11 inlined 30572 holder java.lang.String 30572
call 27 inlined 30572 holder java.lang.String 30572
call 38 inlined 2389
call 44 inlined 28183
branch 14 30888 0
branch 30 28474 2414
method java.lang.StringConcatHelper stringOf (D)Ljava/lang/String; cold
call 1 inlined 2789
method java.lang.StringConcatHelper stringOf (Ljava/lang/Object;)Ljava/lang/String; hot
call 5 inlined 129306 class java.lang.String 7167
branch 1 0 129538
branch 10 129538 0
method java.lang.StringConcatHelper stringSize (II)I hot
call 2 inlined 195201
call 6 inlined 195201
method java.lang.StringConcatHelper stringSize (IJ)I cold
call 2 inlined 190336
call 6 inlined 190336
method java.lang.StringConcatHelper stringSize (ILjava/lang/String;)I hot
call 2 inlined 145410 holder java.lang.String 145410
call 6 inlined 145410
method java.lang.StringConcatHelper$Concat1 concat (I)Ljava/lang/String; cold
call 5 inlined 1050
call 18 inlined 1050 holder java.lang.String 1050
call 29 inlined 1050
call 48 inlined 1050
call 62 inlined 1050
method java.lang.StringLatin1 coderFromChar (C)B hot
method java.lang.StringLatin1 hashCode ([B)I cold
call 5 inlined 75515
method java.lang.Thread getAndClearInterrupt ()Z cold
branch 6 37387 0
method java.lang.Thread interrupted ()Z cold
call 0 called 36984
call 3 inlined 36984 holder java.lang.Thread 36984
method java.lang.Thread$ThreadIdentifiers next ()J hot
call 8 called 129
method java.lang.Thread$ThreadNumbering next ()I hot
call 10 called 130
method java.lang.Throwable <init> (Ljava/lang/String;)V hot
call 1 inlined 5120
call 24 inlined 5120 class java.lang.IllegalStateException 2268 class java.lang.ArrayIndexOutOfBoundsException 1299
branch 36 5503 0
method java.lang.Throwable fillInStackTrace ()Ljava/lang/Throwable; hot
call 16 called 8950
branch 4 9334 0
method java.lang.invoke.DelegatingMethodHandle$Holder reinvoke_L (Ljava/lang/Object;Ljava/lang/Object;Ljava/lang/Object;)Ljava/lang/Object; cold
call 14 inlined 7168 holder java.lang.invoke.DirectMethodHandle$Holder 7168
method java.lang.invoke.DirectMethodHandle allocateInstance (Ljava/lang/Object;)Ljava/lang/Object; cold
call 12 called 59696
method java.lang.invoke.DirectMethodHandle checkBase (Ljava/lang/Object;)Ljava/lang/Object; cold
call 1 inlined 204593
method java.lang.invoke.DirectMethodHandle internalMemberName (Ljava/lang/Object;)Ljava/lang/Object; hot
method java.lang.invoke.DirectMethodHandle$Holder fieldAccess (Ljava/lang/Object;Ljava/lang/Object;)I cold
call 1 inlined 102016
call 6 inlined 102016
call 24 called 2736
method java.lang.invoke.DirectMethodHandle$Holder fieldAccess (Ljava/lang/Object;Ljava/lang/Object;)J cold
call 1 inlined 102100
call 6 inlined 102100
call 24 called 2736
method java.lang.invoke.DirectMethodHandle$Holder invokeSpecial (Ljava/lang/Object;Ljava/lang/Object;I)Ljava/lang/Object; cold
call 1 inlined 1050
call 11 inlined 1050
method java.lang.invoke.DirectMethodHandle$Holder invokeSpecial (Ljava/lang/Object;Ljava/lang/Object;Ljava/lang/Object;I)Ljava/lang/Object; cold
call 1 inlined 0
call 14 inlined 0
method java.lang.invoke.DirectMethodHandle$Holder invokeStatic (Ljava/lang/Object;Ljava/lang/Object;Ljava/lang/Object;)Ljava/lang/Object; cold
call 1 inlined 30560
call 11 inlined 30560
method java.lang.invoke.DirectMethodHandle$Holder newInvokeSpecial (Ljava/lang/Object;Ljava/lang/Object;)Ljava/lang/Object; hot
call 1 inlined 56432
call 6 inlined 56432
call 16 inlined 56432
method java.lang.invoke.Invokers$Holder linkToTargetMethod (ILjava/lang/Object;)Ljava/lang/Object; cold
call 5 inlined 4045
method java.lang.invoke.Invokers$Holder linkToTargetMethod (Ljava/lang/Object;ILjava/lang/Object;)Ljava/lang/Object; cold
call 6 inlined 0
method java.lang.invoke.Invokers$Holder linkToTargetMethod (Ljava/lang/Object;Ljava/lang/Object;)Ljava/lang/Object; hot
call 5 inlined 193332 holder java.lang.invoke.DirectMethodHandle$Holder 56431
method java.lang.invoke.Invokers$Holder linkToTargetMethod (Ljava/lang/Object;Ljava/lang/Object;Ljava/lang/Object;)Ljava/lang/Object; cold
call 6 inlined 7168 holder java.lang.invoke.DelegatingMethodHandle$Holder 7168
method java.lang.invoke.MethodType parameterType (I)Ljava/lang/Class; hot
method java.util.AbstractCollection <init> ()V cold
call 1 inlined 22839
method java.util.AbstractCollection toString ()Ljava/lang/String; cold
call 1 inlined 24989 holder java.util.ArrayList 24989
call 6 inlined 24989 holder java.util.ArrayList$Itr 24989
call 21 inlined 24989
call 28 inlined 24989 holder java.lang.StringBuilder 24989
call 33 inlined 24989 holder java.util.ArrayList$Itr 24989
call 51 inlined 24989 holder java.lang.StringBuilder 24989
call 56 inlined 24989 holder java.util.ArrayList$Itr 24989
call 67 inlined 24989 holder java.lang.StringBuilder 24989
call 70 inlined 24989 holder java.lang.StringBuilder 24989
branch 11 25492 0
branch 42 25492 0
branch 61 0 25492
method java.util.AbstractList <init> ()V cold
call 1 inlined 22757
method java.util.AbstractList$RandomAccessSpliterator <init> (Ljava/util/List;)V hot
call 1 inlined 56018
branch 7 56530 0
branch 45 56530 0
branch 64 56530 0
method java.util.AbstractList$RandomAccessSpliterator checkAbstractListModCount (Ljava/util/AbstractList;I)V cold
branch 1 20544 0
method java.util.AbstractList$RandomAccessSpliterator estimateSize ()J hot
call 1 inlined 56018 holder java.util.AbstractList$RandomAccessSpliterator 56018
method java.util.AbstractList$RandomAccessSpliterator forEachRemaining (Ljava/util/function/Consumer;)V hot
call 1 inlined 20116
call 11 inlined 20116 holder java.util.AbstractList$RandomAccessSpliterator 20116
call 36 inlined 60348
call 39 inlined 60348 class java.util.stream.ReferencePipeline$3$1 60348
call 58 inlined 20116
branch 29 20544 61632
method java.util.AbstractList$RandomAccessSpliterator get (Ljava/util/List;I)Ljava/lang/Object; cold
call 2 inlined 61376 class java.util.ImmutableCollections$ListN 61376
method java.util.AbstractList$RandomAccessSpliterator getFence ()I hot
call 34 inlined 20288 class java.util.ImmutableCollections$ListN 20288
branch 11 20545 20544
branch 18 20544 0
method java.util.ArrayList <init> ()V cold
call 1 inlined 22641
method java.util.ArrayList add (Ljava/lang/Object;)Z cold
call 20 inlined 23209 holder java.util.ArrayList 23209
method java.util.ArrayList add (Ljava/lang/Object;[Ljava/lang/Object;I)V cold
call 7 inlined 23121 holder java.util.ArrayList 23121
branch 3 99 23363
method java.util.ArrayList grow ()[Ljava/lang/Object; cold
call 7 inlined 23126 holder java.util.ArrayList 23126
method java.util.ArrayList grow (I)[Ljava/lang/Object; cold
call 27 called 3
call 37 called 3
call 49 called 22797
branch 7 3 25468
branch 17 25468 0
method java.util.ArrayList iterator ()Ljava/util/Iterator; cold
call 5 inlined 25542
method java.util.ArrayList$Itr <init> (Ljava/util/ArrayList;)V cold
call 3 inlined 25550
call 11 inlined 25550
method java.util.ArrayList$Itr checkForComodification ()V cold
branch 11 6400 0
method java.util.ArrayList$Itr hasNext ()Z hot
branch 11 22 6341
method java.util.ArrayList$Itr next ()Ljava/lang/Object; hot
call 1 inlined 6144 holder java.util.ArrayList$Itr 6144
branch 17 6400 0
branch 39 6400 0
method java.util.Arrays copyOf ([BI)[B hot
call 25 called 161712
call 28 called 161712
branch 3 161765 0
method java.util.Arrays copyOfRange ([BII)[B hot
call 11 called 0
call 73 called 161422
call 76 called 161422
branch 1 54 163505
branch 7 163422 83
branch 23 163476 0
method java.util.Collection stream ()Ljava/util/stream/Stream; hot
call 1 inlined 56018 class java.util.ImmutableCollections$ListN 56018
call 7 inlined 56018
method java.util.ImmutableCollections$ListN get (I)Ljava/lang/Object; hot
method java.util.ImmutableCollections$ListN size ()I hot
method java.util.List spliterator ()Ljava/util/Spliterator; hot
call 12 inlined 56018
branch 4 0 56530
method java.util.Objects requireNonNull (Ljava/lang/Object;)Ljava/lang/Object; hot
branch 1 769096 0
method java.util.Spliterator getExactSizeIfKnown ()J hot
call 1 inlined 57019 class java.util.AbstractList$RandomAccessSpliterator 56023 class java.util.Spliterators$IntArraySpliterator 996
call 19 inlined 57019 class java.util.AbstractList$RandomAccessSpliterator 56023 class java.util.Spliterators$IntArraySpliterator 996
branch 9 57531 0
method java.util.Spliterator$OfInt forEachRemaining (Ljava/util/function/Consumer;)V cold
call 12 called 0
method java.util.concurrent.CountDownLatch await ()V hot
call 5 inlined 67585 holder java.util.concurrent.locks.AbstractQueuedSynchronizer 67585
method java.util.concurrent.CountDownLatch countDown ()V cold
call 5 called 0
method java.util.concurrent.CountDownLatch$Sync tryAcquireShared (I)I cold
call 1 inlined 37003 holder java.util.concurrent.locks.AbstractQueuedSynchronizer 37003
branch 4 245 38441
method java.util.concurrent.locks.AbstractQueuedSynchronizer acquireSharedInterruptibly (I)V hot
call 0 inlined 36984
call 8 inlined 36984 holder java.util.concurrent.CountDownLatch$Sync 36984
call 21 called 234
branch 3 0 39597
branch 11 39346 251
branch 24 251 0
method java.util.concurrent.locks.AbstractQueuedSynchronizer casTail (Ljava/util/concurrent/locks/AbstractQueuedSynchronizer$Node;Ljava/util/concurrent/locks/AbstractQueuedSynchronizer$Node;)Z hot
call 9 called 132
method java.util.concurrent.locks.AbstractQueuedSynchronizer compareAndSetState (II)Z hot
call 9 called 0
method java.util.concurrent.locks.AbstractQueuedSynchronizer$Node setPrevRelaxed (Ljava/util/concurrent/locks/AbstractQueuedSynchronizer$Node;)V hot
call 8 called 133
method java.util.stream.AbstractPipeline <init> (Ljava/util/Spliterator;IZ)V hot
call 1 inlined 57019
method java.util.stream.AbstractPipeline <init> (Ljava/util/stream/AbstractPipeline;I)V hot
call 1 inlined 61023
call 51 inlined 61023
branch 8 61535 0
method java.util.stream.AbstractPipeline close ()V hot
branch 24 56530 0
method java.util.stream.AbstractPipeline copyInto (Ljava/util/stream/Sink;Ljava/util/Spliterator;)V hot
call 1 inlined 57019
call 9 inlined 57019 holder java.util.stream.AbstractPipeline 57019
call 12 inlined 57019 holder java.util.stream.StreamOpFlag 57019
call 20 inlined 57019 class java.util.AbstractList$RandomAccessSpliterator 56023 class java.util.Spliterators$IntArraySpliterator 996
call 25 inlined 57019 class java.util.stream.ReferencePipeline$3$1 56023 class java.util.stream.IntPipeline$10$1 996
call 32 inlined 57019 class java.util.AbstractList$RandomAccessSpliterator 56023 class java.util.Spliterators$IntArraySpliterator 996
call 38 inlined 57018 class java.util.stream.ReferencePipeline$3$1 56023 class java.util.stream.IntPipeline$10$1 995
branch 15 0 57531
method java.util.stream.AbstractPipeline evaluate (Ljava/util/stream/TerminalOp;)Ljava/lang/Object; hot
call 50 inlined 57019 holder java.util.stream.AbstractPipeline 57019
call 80 inlined 57019 class java.util.stream.ForEachOps$ForEachOp$OfRef 56023 class java.util.stream.ReduceOps$6 996
call 85 inlined 57019 holder java.util.stream.AbstractPipeline 57019
call 88 inlined 57019 class java.util.stream.ForEachOps$ForEachOp$OfRef 56023 class java.util.stream.ReduceOps$6 996
branch 3 57531 0
branch 31 57531 0
branch 53 57531 0
method java.util.stream.AbstractPipeline isParallel ()Z hot
method java.util.stream.AbstractPipeline sourceSpliterator (I)Ljava/util/Spliterator; hot
call 79 inlined 57019 holder java.util.stream.AbstractPipeline 57019
call 254 inlined 56023
branch 9 0 57531
branch 82 57531 0
branch 245 1005 56526
method java.util.stream.AbstractPipeline wrapAndCopyInto (Ljava/util/stream/Sink;Ljava/util/Spliterator;)Ljava/util/stream/Sink; hot
call 3 inlined 57019
call 9 inlined 57019 holder java.util.stream.AbstractPipeline 57019
call 13 inlined 57019 holder java.util.stream.AbstractPipeline 57019
method java.util.stream.AbstractPipeline wrapSink (Ljava/util/stream/Sink;)Ljava/util/stream/Sink; hot
call 1 inlined 56608
call 23 inlined 58948 class java.util.stream.ReferencePipeline$3 56023 class java.util.stream.ReferencePipeline$4 585
branch 11 57120 59481
method java.util.stream.ForEachOps makeRef (Ljava/util/function/Consumer;Z)Ljava/util/stream/TerminalOp; cold
call 1 inlined 56018
call 11 inlined 56018
method java.util.stream.ForEachOps$ForEachOp <init> (Z)V cold
call 1 inlined 56018
method java.util.stream.ForEachOps$ForEachOp evaluateSequential (Ljava/util/stream/PipelineHelper;Ljava/util/Spliterator;)Ljava/lang/Void; cold
call 3 inlined 56018 class java.util.stream.ReferencePipeline$3 56018
call 9 inlined 56018 holder java.util.stream.ForEachOps$ForEachOp 56018
method java.util.stream.ForEachOps$ForEachOp getOpFlags ()I hot
branch 4 56530 0
method java.util.stream.ForEachOps$ForEachOp$OfRef <init> (Ljava/util/function/Consumer;Z)V cold
call 2 inlined 56018
method java.util.stream.ForEachOps$ForEachOp$OfRef accept (Ljava/lang/Object;)V cold
call 5 inlined 6978 class java.util.stream.ReferencePipeline$4$1 6978
method java.util.stream.ForEachOps$ForEachOp$OfRef evaluateSequential (Ljava/util/stream/PipelineHelper;Ljava/util/Spliterator;)Ljava/lang/Object; hot
call 3 inlined 56018
method java.util.stream.IntPipeline$1$1 accept (I)V hot
call 9 inlined 69754 lambda Odd.lambda$stream$1(I)Ljava/lang/String; 69754
call 14 inlined 69754 class java.util.stream.ReferencePipeline$2$1 69754
method java.util.stream.IntPipeline$10$1 accept (I)V hot
call 5 inlined 37889 lambda Odd.lambda$stream$0(I)Z 37889
call 18 inlined 25196 class java.util.stream.IntPipeline$1$1 25196
branch 10 12865 25536
method java.util.stream.IntPipeline$10$1 begin (J)V cold
call 7 called 0
method java.util.stream.PipelineHelper <init> ()V cold
call 1 inlined 118553
method java.util.stream.ReduceOps$5ReducingSink accept (I)V cold
call 10 inlined 6978 lambda java.lang.Integer.sum(II)I 6978
method java.util.stream.ReduceOps$5ReducingSink get ()Ljava/lang/Object; cold
call 1 called 0
method java.util.stream.ReduceOps$6 makeSink ()Ljava/util/stream/ReduceOps$AccumulatingSink; cold
call 1 called 0
method java.util.stream.ReduceOps$ReduceOp evaluateSequential (Ljava/util/stream/PipelineHelper;Ljava/util/Spliterator;)Ljava/lang/Object; cold
call 2 inlined 0
call 6 called 0
call 12 inlined 0
method java.util.stream.ReferencePipeline <init> (Ljava/util/Spliterator;IZ)V cold
call 4 inlined 56018
method java.util.stream.ReferencePipeline <init> (Ljava/util/stream/AbstractPipeline;I)V cold
call 3 inlined 56786
method java.util.stream.ReferencePipeline forEach (Ljava/util/function/Consumer;)V hot
call 3 inlined 56018
call 6 inlined 56018 holder java.util.stream.AbstractPipeline 56018
method java.util.stream.ReferencePipeline map (Ljava/util/function/Function;)Ljava/util/stream/Stream; hot
call 1 inlined 56018
call 22 inlined 56018
method java.util.stream.ReferencePipeline$2$1 accept (Ljava/lang/Object;)V hot
call 5 inlined 69754 lambda Odd.lambda$stream$2(Ljava/lang/String;)Z 69754
call 18 inlined 56118 class java.util.stream.ReferencePipeline$7$1FlatMap 56118
branch 10 13736 56530
method java.util.stream.ReferencePipeline$3 <init> (Ljava/util/stream/ReferencePipeline;Ljava/util/stream/AbstractPipeline;Ljava/util/stream/StreamShape;ILjava/util/function/Function;)V cold
call 8 inlined 56018
call 18 inlined 56018
method java.util.stream.ReferencePipeline$3 opWrapSink (ILjava/util/stream/Sink;)Ljava/util/stream/Sink; hot
call 10 inlined 56018
method java.util.stream.ReferencePipeline$3$1 <init> (Ljava/util/stream/ReferencePipeline$3;Ljava/util/stream/Sink;Ljava/util/function/Function;)V cold
call 7 inlined 56018
call 14 inlined 56018
method java.util.stream.ReferencePipeline$3$1 accept (Ljava/lang/Object;)V hot
call 9 inlined 7168 lambda Odd.lambda$stream$4(Ljava/lang/String;Ljava/lang/String;)Ljava/lang/String; 7168
call 14 inlined 7168 class java.util.stream.ForEachOps$ForEachOp$OfRef 7168
method java.util.stream.ReferencePipeline$4$1 accept (Ljava/lang/Object;)V cold
call 9 inlined 6978 lambda java.lang.String.length()I 6978
call 14 inlined 6978 class java.util.stream.ReduceOps$5ReducingSink 6978
method java.util.stream.ReferencePipeline$7$1FlatMap accept (Ljava/lang/Object;)V hot
call 5 inlined 56018 lambda Odd.lambda$stream$3(Ljava/util/List;Ljava/lang/String;)Ljava/util/stream/Stream; 56018
call 45 inlined 56018 holder java.util.stream.AbstractPipeline 56018
call 57 inlined 56018 holder java.util.stream.ReferencePipeline 56018
call 67 inlined 56018 holder java.util.stream.AbstractPipeline 56018
branch 15 0 56530
branch 22 56530 0
branch 63 0 56530
method java.util.stream.ReferencePipeline$Head <init> (Ljava/util/Spliterator;IZ)V cold
call 4 inlined 56018
method java.util.stream.ReferencePipeline$StatelessOp <init> (Ljava/util/stream/AbstractPipeline;Ljava/util/stream/StreamShape;I)V cold
call 3 inlined 56786
branch 9 57298 0
method java.util.stream.Sink begin (J)V hot
method java.util.stream.Sink end ()V hot
method java.util.stream.Sink$ChainedInt end ()V cold
call 4 called 0
method java.util.stream.Sink$ChainedReference <init> (Ljava/util/stream/Sink;)V cold
call 1 inlined 56530
call 6 inlined 56530
method java.util.stream.Sink$ChainedReference begin (J)V hot
call 5 inlined 57019 class java.util.stream.ForEachOps$ForEachOp$OfRef 56023 class java.util.stream.ReduceOps$5ReducingSink 996
method java.util.stream.Sink$ChainedReference end ()V hot
call 4 inlined 58018 class java.util.stream.ForEachOps$ForEachOp$OfRef 56026 class java.util.stream.ReferencePipeline$7$1FlatMap 996
method java.util.stream.StreamOpFlag combineOpFlags (II)I cold
call 2 inlined 117552
method java.util.stream.StreamOpFlag fromCharacteristics (Ljava/util/Spliterator;)I hot
call 1 inlined 57019 class java.util.AbstractList$RandomAccessSpliterator 56023 class java.util.Spliterators$IntArraySpliterator 996
branch 10 57531 0
method java.util.stream.StreamOpFlag getMask (I)I cold
branch 1 118064 0
method java.util.stream.StreamOpFlag isKnown (I)Z hot
branch 10 58701 0
method java.util.stream.StreamSupport stream (Ljava/util/Spliterator;Z)Ljava/util/stream/Stream; hot
call 1 inlined 56018
call 11 inlined 56018
call 15 inlined 56018
method jdk.internal.classfile.impl.RawBytecodeHelper opcode ()I hot
method jdk.internal.math.DoubleToDecimal lowDigits ([BII)I cold
call 8 inlined 40973 holder jdk.internal.math.ToDecimal 40973
call 15 inlined 40973 holder jdk.internal.math.ToDecimal 40973
branch 1 0 41485
method jdk.internal.math.DoubleToDecimal rop (JJJ)J hot
call 3 called 150251
call 17 called 150251
method jdk.internal.math.DoubleToDecimal toChars ([BIJILjdk/internal/math/FormattedFPDecimal;)I hot
call 3 called 114394
call 7 inlined 114394
call 15 inlined 114394
call 48 inlined 114394
call 64 called 114394
call 131 inlined 114394 holder jdk.internal.math.DoubleToDecimal 114394
branch 19 0 114906
branch 27 114906 0
branch 110 0 114906
branch 117 0 114906
method jdk.internal.math.DoubleToDecimal toChars1 ([BIIIII)I hot
call 4 inlined 40973 holder jdk.internal.math.ToDecimal 40973
call 10 inlined 40973
call 40 inlined 40973 holder jdk.internal.math.ToDecimal 40973
call 62 inlined 40973 holder jdk.internal.math.ToDecimal 40973
call 88 inlined 286811 holder jdk.internal.math.ToDecimal 286811
call 110 inlined 40973 holder jdk.internal.math.DoubleToDecimal 40973
branch 22 41485 41485
branch 70 41485 290395
method jdk.internal.math.DoubleToDecimal toDecimal ([BIDLjdk/internal/math/FormattedFPDecimal;)I hot
call 1 called 101297
call 145 called 101297
branch 31 0 101797
branch 41 101797 0
branch 55 0 101797
branch 77 0 101797
branch 89 0 101797
branch 98 0 101797
branch 116 101797 0
method jdk.internal.math.DoubleToDecimal toDecimal ([BIIJILjdk/internal/math/FormattedFPDecimal;)I hot
call 60 inlined 105031
call 84 inlined 105031
call 94 inlined 105031
call 101 inlined 105031
call 115 inlined 105031
call 129 inlined 105031
call 143 inlined 105031
call 171 called 105031
call 253 called 353
call 390 inlined 104678 holder jdk.internal.math.DoubleToDecimal 104678
branch 27 0 105543
branch 39 105543 0
branch 48 0 105543
branch 160 0 105543
branch 196 105188 355
branch 217 105543 0
branch 231 105188 355
branch 239 0 355
branch 274 0 105188
branch 295 0 105188
branch 309 105188 0
branch 357 52417 52771
branch 364 52771 0
method jdk.internal.math.DoubleToDecimal toString (D)Ljava/lang/String; cold
call 12 called 2797
call 45 inlined 2797
branch 24 0 3303
method jdk.internal.math.MathUtils flog10pow2 (I)I hot
method jdk.internal.math.MathUtils pow10 (I)J hot
method jdk.internal.math.ToDecimal put8Digits ([BII)I cold
call 10 inlined 40973
branch 4 0 41485
method jdk.internal.math.ToDecimal put8DigitsLatin1 ([BII)V cold
call 1 inlined 1732
branch 12 41508 332064
method jdk.internal.math.ToDecimal putChar ([BII)I cold
branch 4 0 50728
method jdk.internal.math.ToDecimal putDigit ([BII)I hot
call 8 inlined 8732 holder jdk.internal.math.ToDecimal 8732
method jdk.internal.math.ToDecimal removeTrailingZeroes ([BI)I cold
branch 4 0 41485
branch 14 41485 140
branch 30 41485 0
method jdk.internal.math.ToDecimal y (I)I cold
call 10 called 43216
method jdk.internal.misc.Unsafe allocateUninitializedArray (Ljava/lang/Class;I)Ljava/lang/Object; hot
call 16 inlined 5249 holder java.lang.Class 5249
call 51 called 5253
branch 1 7371 0
branch 19 7371 0
branch 34 7371 0
method jdk.internal.misc.Unsafe allocateUninitializedArray0 (Ljava/lang/Class;I)Ljava/lang/Object; hot
branch 4 0 6399
method jdk.internal.misc.Unsafe putIntOpaque (Ljava/lang/Object;JI)V hot
call 5 called 0
method jdk.internal.misc.Unsafe putReferenceOpaque (Ljava/lang/Object;JLjava/lang/Object;)V hot
call 5 called 0
method jdk.internal.misc.Unsafe weakCompareAndSetInt (Ljava/lang/Object;JII)Z hot
call 7 called 0
method jdk.internal.util.ArraysSupport hashCodeOfUnsigned ([BIII)I cold
call 39 inlined 4
call 51 called 75533
method jdk.internal.util.ArraysSupport newLength (III)I cold
call 3 called 161389
branch 10 0 161901
branch 16 0 161901
method jdk.internal.util.ArraysSupport unsignedHashCode (I[BII)I hot
call 23 inlined 75149
branch 12 954 86794
method jdk.internal.util.DecimalDigits stringSize (I)I hot
branch 3 1 136911
branch 19 0 295160
branch 24 158248 136912
method jdk.internal.util.DecimalDigits stringSize (J)I hot
branch 5 16 8123
branch 24 10 47134
branch 30 39003 8131
method jdk.internal.util.DecimalDigits uncheckedGetCharsLatin1 (II[B)I hot
call 45 inlined 50051
call 67 inlined 4858
call 83 inlined 49336
call 99 called 1
branch 4 54399 1
branch 16 1 54399
branch 25 54400 50241
branch 56 49524 4876
branch 88 54399 1
method jdk.internal.util.DecimalDigits uncheckedGetCharsLatin1 (JI[B)I hot
call 54 inlined 5877
call 95 inlined 8514
call 121 inlined 2617
call 138 inlined 3929
call 154 called 12
branch 6 6993 13
branch 18 13 6993
branch 29 7007 6291
branch 71 7007 9114
branch 109 4206 2801
branch 143 6994 13
method jdk.internal.util.DecimalDigits uncheckedPutCharLatin1 ([BII)V hot
call 36 called 0
branch 3 5472 0
method jdk.internal.util.DecimalDigits uncheckedPutPairLatin1 ([BII)V hot
call 16 inlined 6144
call 27 inlined 6144
method jdk.internal.util.Preconditions checkFromIndexSize (IIILjava/util/function/BiFunction;)I cold
branch 5 0 4418
branch 12 4418 0
