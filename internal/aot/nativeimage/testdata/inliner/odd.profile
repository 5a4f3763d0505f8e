cloudjit-profile 1
method Odd apply ([ILjava/util/function/IntUnaryOperator;Ljava/util/function/Function;)I hot
call 31 inlined 63600 lambda Odd.lambda$main$0(II)I 63600
call 39 inlined 63600
call 42 inlined 63600 lambda java.lang.Integer.reverse(I)I 63600
call 50 inlined 63600 holder java.lang.Integer 63600
branch 17 425 85000
method Odd areas (Ljava/util/List;I)J hot
call 3 inlined 182 class java.util.ArrayList 182
call 12 inlined 54782 class java.util.ArrayList$Itr 54782
call 22 inlined 54600 holder java.util.ArrayList$Itr 54600
call 36 called 54600 class Odd$Square 35672 class Odd$Strip 17836
call 55 inlined 2548 holder java.lang.Throwable 2548
call 58 inlined 2548 holder java.lang.String 2548
branch 17 283 85033
method Odd checks ([I[Ljava/lang/Object;I)I hot
call 20 inlined 24599
call 30 inlined 17379
call 52 called 8687
call 55 inlined 8687 holder java.lang.Class 8687
call 58 inlined 8687 holder java.lang.String 8687
branch 9 743 29719
method Odd count (LOdd$Counter;I)I hot
call 26 inlined 57400 holder Odd$Counter 57400
branch 7 687 68700
branch 18 67326 1374
method Odd element ([II)I hot
method Odd lambda$stream$0 (I)Z cold
branch 3 12361 24538
method Odd lambda$stream$1 (I)Ljava/lang/String; cold
call 11 inlined 90202
branch 3 90510 21993
method Odd lambda$stream$2 (Ljava/lang/String;)Z cold
branch 1 21993 90510
method Odd lambda$stream$3 (Ljava/util/List;Ljava/lang/String;)Ljava/util/stream/Stream; cold
call 1 inlined 89998 class java.util.ImmutableCollections$ListN 89998
call 7 inlined 89998
call 12 inlined 89998 holder java.util.stream.ReferencePipeline 89998
method Odd lambda$stream$4 (Ljava/lang/String;Ljava/lang/String;)Ljava/lang/String; cold
call 2 inlined 20321
method Odd length (Ljava/lang/Object;)I cold
call 4 inlined 10550 holder java.lang.String 10550
method Odd loop (LOdd$Source;I)I hot
call 12 inlined 79620 class Odd$1 77620 class Odd$Twice 2000
branch 6 40053 4001305
method Odd$1 next (I)I hot
call 28 inlined 3844 class Odd$1 3844
branch 16 4523 8878
method Odd$Counter next (I)I hot
call 10 inlined 1265
branch 1 62423 1273
method Odd$Early run ()V hot
call 4 inlined 215 holder java.util.concurrent.CountDownLatch 215
call 20 inlined 43048 holder java.util.concurrent.CountDownLatch 43048
branch 13 465 92703
method Odd$Hole area (I)J hot
method Odd$Node sum ()I hot
call 19 inlined 2812 holder Odd$Node 2812
call 38 inlined 2812 holder Odd$Node 2812
branch 8 3068 3074
branch 27 3068 3074
method Odd$Square area (I)J hot
method Odd$Strip area (I)J hot
call 18 inlined 731
call 23 inlined 731
branch 7 4724 787
method Odd$Twice next (I)I hot
call 6 inlined 99489 class Odd$1 99489
method java.lang.ArrayIndexOutOfBoundsException <init> (Ljava/lang/String;)V hot
call 2 inlined 6186
method java.lang.Byte toUnsignedInt (B)I hot
method java.lang.Class getName ()Ljava/lang/String; cold
branch 6 0 10592
method java.lang.ClassCastException <init> (Ljava/lang/String;)V hot
call 2 inlined 5154
method java.lang.Exception <init> ()V cold
call 1 inlined 4970
method java.lang.Exception <init> (Ljava/lang/String;)V cold
call 2 inlined 19771
method java.lang.IllegalArgumentException <init> (Ljava/lang/String;)V hot
call 2 inlined 5137
method java.lang.IllegalStateException <init> (Ljava/lang/String;)V cold
call 2 called 0
method java.lang.IndexOutOfBoundsException <init> (Ljava/lang/String;)V cold
call 2 inlined 6214
method java.lang.Integer <init> (I)V cold
call 1 inlined 31529
method java.lang.Integer toString (I)Ljava/lang/String; hot
call 1 inlined 90204
call 18 inlined 90204
call 28 inlined 90204
branch 8 0 90511
method java.lang.Integer valueOf (I)Ljava/lang/Integer; hot
call 28 inlined 31529
branch 3 3100 73756
branch 10 28429 45327
method java.lang.NullPointerException <init> ()V hot
call 1 inlined 5230
method java.lang.NullPointerException fillInStackTrace ()Ljava/lang/Throwable; cold
call 37 inlined 4843
branch 4 0 5230
method java.lang.Number <init> ()V cold
call 1 inlined 31529
method java.lang.Object <init> ()V hot
method java.lang.RuntimeException <init> ()V cold
call 1 inlined 4970
method java.lang.RuntimeException <init> (Ljava/lang/String;)V hot
call 2 inlined 19772
method java.lang.String <init> (Ljava/lang/String;)V cold
call 1 inlined 6689
method java.lang.String <init> ([BB)V cold
call 1 inlined 105346
method java.lang.String coder ()B hot
branch 3 0 89895
method java.lang.String getBytes ([BIB)V hot
call 1 inlined 5363 holder java.lang.String 5363
call 22 called 5363
branch 5 0 5651
method java.lang.String isEmpty ()Z cold
branch 5 35007 6995
method java.lang.String length ()I hot
call 6 inlined 95231 holder java.lang.String 95231
method java.lang.String toString ()Ljava/lang/String; hot
method java.lang.StringConcatHelper checkOverflow (I)I cold
branch 1 0 19284
method java.lang.StringConcatHelper doConcat (Ljava/lang/String;Ljava/lang/String;)Ljava/lang/String; cold
call 1 inlined 13441 holder java.lang.String 13441
call 5 inlined 13441 holder java.lang.String 13441
call 12 inlined 13441 holder java.lang.String 13441
call 16 inlined 13441 holder java.lang.String 13441
call 20 inlined 13441
call 27 inlined 13441
call 37 inlined 13441 holder java.lang.String 13441
call 44 inlined 13441 holder java.lang.String 13441
call 48 inlined 13441 holder java.lang.String 13441
call 58 inlined 13441
method java.lang.StringConcatHelper newArray (I)[B cold
call 21 inlined 14776 holder jdk.internal.misc.Unsafe 14776
branch 1 14911 0
method java.lang.StringConcatHelper newArrayWithSuffix (Ljava/lang/String;IB)[B cold
call 2 called 0
call 8 inlined 0
call 20 called 0
method java.lang.StringConcatHelper prepend (IB[BILjava/lang/String;)I hot
call 7 inlined 7192
call 14 inlined 7192 holder java.lang.String 7192
call 24 inlined 7192 holder java.lang.String 7192
branch 1 0 7251
method java.lang.StringConcatHelper simpleConcat (Ljava/lang/Object;Ljava/lang/Object;)Ljava/lang/String; cold
call 1 inlined 20321
call 6 inlined 20321
call 11 inlined 20321 holder java.lang.String 20321
call 27 inlined 20321 holder java.lang.String 20321
call 38 inlined 6774
call 44 inlined 13547
branch 14 20833 0
branch 30 13888 6945
method java.lang.StringConcatHelper stringOf (Ljava/lang/Object;)Ljava/lang/String; hot
call 5 inlined 15785 class java.lang.String 15785
branch 1 0 16297
branch 10 16297 0
method java.lang.StringConcatHelper stringSize (II)I hot
call 2 inlined 5124
call 6 inlined 5124
method java.lang.StringConcatHelper$Concat1 concat (I)Ljava/lang/String; cold
call 5 called 0
call 18 called 0
call 29 inlined 0
call 48 called 0
call 62 inlined 0
method java.lang.Thread getAndClearInterrupt ()Z cold
branch 6 43622 0
method java.lang.Thread interrupted ()Z cold
call 0 called 43215
call 3 inlined 43215 holder java.lang.Thread 43215
method java.lang.Thread$ThreadIdentifiers next ()J hot
call 8 called 129
method java.lang.Thread$ThreadNumbering next ()I hot
call 10 called 129
method java.lang.Throwable <init> ()V cold
call 1 inlined 4970
call 24 inlined 4970 holder java.lang.NullPointerException 4970
branch 31 5230 0
method java.lang.Throwable <init> (Ljava/lang/String;)V hot
call 1 inlined 6317
call 24 inlined 6317 holder java.lang.Throwable 6317 class java.lang.IllegalStateException 2630 class java.lang.IllegalArgumentException 429
branch 36 6583 0
method java.lang.Throwable fillInStackTrace ()Ljava/lang/Throwable; hot
call 16 called 9611
branch 4 9877 0
method java.lang.invoke.DelegatingMethodHandle$Holder reinvoke_L (Ljava/lang/Object;Ljava/lang/Object;Ljava/lang/Object;)Ljava/lang/Object; cold
call 14 inlined 20321 holder java.lang.invoke.DirectMethodHandle$Holder 20321
method java.lang.invoke.DirectMethodHandle allocateInstance (Ljava/lang/Object;)Ljava/lang/Object; cold
call 12 called 93696
method java.lang.invoke.DirectMethodHandle$Holder invokeSpecial (Ljava/lang/Object;Ljava/lang/Object;I)Ljava/lang/Object; cold
call 1 inlined 0
call 11 inlined 0
method java.lang.invoke.DirectMethodHandle$Holder invokeStatic (Ljava/lang/Object;Ljava/lang/Object;Ljava/lang/Object;)Ljava/lang/Object; cold
call 1 inlined 20321
call 11 inlined 20321
method java.lang.invoke.DirectMethodHandle$Holder newInvokeSpecial (Ljava/lang/Object;Ljava/lang/Object;)Ljava/lang/Object; cold
call 1 inlined 90432
call 6 inlined 90432
call 16 inlined 90432
method java.lang.invoke.Invokers$Holder linkToTargetMethod (ILjava/lang/Object;)Ljava/lang/Object; cold
call 5 inlined 0
method java.lang.invoke.Invokers$Holder linkToTargetMethod (Ljava/lang/Object;Ljava/lang/Object;)Ljava/lang/Object; cold
call 5 inlined 90431 holder java.lang.invoke.DirectMethodHandle$Holder 90431
method java.lang.invoke.Invokers$Holder linkToTargetMethod (Ljava/lang/Object;Ljava/lang/Object;Ljava/lang/Object;)Ljava/lang/Object; cold
call 6 inlined 20321 holder java.lang.invoke.DelegatingMethodHandle$Holder 20321
method java.util.AbstractList$RandomAccessSpliterator <init> (Ljava/util/List;)V hot
call 1 inlined 89998
branch 7 90510 0
branch 45 90510 0
branch 64 90510 0
method java.util.AbstractList$RandomAccessSpliterator checkAbstractListModCount (Ljava/util/AbstractList;I)V cold
branch 1 19740 0
method java.util.AbstractList$RandomAccessSpliterator estimateSize ()J hot
call 1 inlined 90253 holder java.util.AbstractList$RandomAccessSpliterator 90253
method java.util.AbstractList$RandomAccessSpliterator forEachRemaining (Ljava/util/function/Consumer;)V hot
call 1 inlined 19484
call 11 inlined 19484 holder java.util.AbstractList$RandomAccessSpliterator 19484
call 36 inlined 58452
call 39 inlined 58452 class java.util.stream.ReferencePipeline$3$1 58452
call 58 inlined 19484
branch 29 19740 59220
method java.util.AbstractList$RandomAccessSpliterator get (Ljava/util/List;I)Ljava/lang/Object; cold
call 2 inlined 58709 class java.util.ImmutableCollections$ListN 58709
method java.util.AbstractList$RandomAccessSpliterator getFence ()I hot
call 34 inlined 2560 class java.util.ImmutableCollections$ListN 2560
branch 11 2815 2815
branch 18 2815 0
method java.util.ArrayList iterator ()Ljava/util/Iterator; cold
call 5 inlined 0
method java.util.ArrayList$Itr <init> (Ljava/util/ArrayList;)V cold
call 3 inlined 0
call 11 inlined 0
method java.util.ArrayList$Itr checkForComodification ()V cold
branch 11 5420 0
method java.util.ArrayList$Itr hasNext ()Z hot
branch 11 18 5358
method java.util.ArrayList$Itr next ()Ljava/lang/Object; hot
call 1 inlined 5120 holder java.util.ArrayList$Itr 5120
branch 17 5420 0
branch 39 5420 0
method java.util.Collection stream ()Ljava/util/stream/Stream; hot
call 1 inlined 89998 class java.util.ImmutableCollections$ListN 89998
call 7 inlined 89998
method java.util.ImmutableCollections$ListN get (I)Ljava/lang/Object; hot
method java.util.ImmutableCollections$ListN size ()I hot
method java.util.List spliterator ()Ljava/util/Spliterator; hot
call 12 inlined 89998
branch 4 0 90510
method java.util.Objects requireNonNull (Ljava/lang/Object;)Ljava/lang/Object; hot
branch 1 840952 0
method java.util.Spliterator getExactSizeIfKnown ()J hot
call 1 inlined 90999 class java.util.AbstractList$RandomAccessSpliterator 90003 class java.util.Spliterators$IntArraySpliterator 996
call 19 inlined 90999 class java.util.AbstractList$RandomAccessSpliterator 90003 class java.util.Spliterators$IntArraySpliterator 996
branch 9 91511 0
method java.util.Spliterator$OfInt forEachRemaining (Ljava/util/function/Consumer;)V cold
call 12 called 0
method java.util.concurrent.CountDownLatch await ()V cold
call 5 inlined 61900 holder java.util.concurrent.locks.AbstractQueuedSynchronizer 61900
method java.util.concurrent.CountDownLatch countDown ()V cold
call 5 called 0
method java.util.concurrent.CountDownLatch$Sync tryAcquireShared (I)I cold
call 1 inlined 43215 holder java.util.concurrent.locks.AbstractQueuedSynchronizer 43215
branch 4 278 44674
method java.util.concurrent.locks.AbstractQueuedSynchronizer acquireSharedInterruptibly (I)V hot
call 0 inlined 43215
call 8 inlined 43215 holder java.util.concurrent.CountDownLatch$Sync 43215
call 21 called 267
branch 3 0 45426
branch 11 45145 281
branch 24 281 0
method java.util.concurrent.locks.AbstractQueuedSynchronizer casTail (Ljava/util/concurrent/locks/AbstractQueuedSynchronizer$Node;Ljava/util/concurrent/locks/AbstractQueuedSynchronizer$Node;)Z hot
call 9 called 132
method java.util.concurrent.locks.AbstractQueuedSynchronizer compareAndSetState (II)Z hot
call 9 called 0
method java.util.concurrent.locks.AbstractQueuedSynchronizer$Node setPrevRelaxed (Ljava/util/concurrent/locks/AbstractQueuedSynchronizer$Node;)V hot
call 8 called 132
method java.util.stream.AbstractPipeline <init> (Ljava/util/Spliterator;IZ)V hot
call 1 inlined 90999
method java.util.stream.AbstractPipeline <init> (Ljava/util/stream/AbstractPipeline;I)V hot
call 1 inlined 95003
call 51 inlined 95003
branch 8 95515 0
method java.util.stream.AbstractPipeline close ()V hot
branch 24 90509 0
method java.util.stream.AbstractPipeline copyInto (Ljava/util/stream/Sink;Ljava/util/Spliterator;)V hot
call 1 inlined 90999
call 9 inlined 90999 holder java.util.stream.AbstractPipeline 90999
call 12 inlined 90999 holder java.util.stream.StreamOpFlag 90999
call 20 inlined 90999 class java.util.AbstractList$RandomAccessSpliterator 90003 class java.util.Spliterators$IntArraySpliterator 996
call 25 inlined 90999 class java.util.stream.ReferencePipeline$3$1 90003 class java.util.stream.IntPipeline$10$1 996
call 32 inlined 90999 class java.util.AbstractList$RandomAccessSpliterator 90003 class java.util.Spliterators$IntArraySpliterator 996
call 38 inlined 90998 class java.util.stream.ReferencePipeline$3$1 90003 class java.util.stream.IntPipeline$10$1 995
branch 15 0 91511
method java.util.stream.AbstractPipeline evaluate (Ljava/util/stream/TerminalOp;)Ljava/lang/Object; hot
call 50 inlined 91252 holder java.util.stream.AbstractPipeline 91252
call 80 inlined 91252 class java.util.stream.ForEachOps$ForEachOp$OfRef 90254 class java.util.stream.ReduceOps$6 998
call 85 inlined 91252 holder java.util.stream.AbstractPipeline 91252
call 88 inlined 91252 class java.util.stream.ForEachOps$ForEachOp$OfRef 90254 class java.util.stream.ReduceOps$6 998
branch 3 91510 0
branch 31 91510 0
branch 53 91510 0
method java.util.stream.AbstractPipeline sourceSpliterator (I)Ljava/util/Spliterator; hot
call 79 inlined 90999 holder java.util.stream.AbstractPipeline 90999
call 254 inlined 90003
branch 9 0 91511
branch 82 91511 0
branch 245 1002 90509
method java.util.stream.AbstractPipeline wrapAndCopyInto (Ljava/util/stream/Sink;Ljava/util/Spliterator;)Ljava/util/stream/Sink; hot
call 3 inlined 90999
call 9 inlined 90999 holder java.util.stream.AbstractPipeline 90999
call 13 inlined 90999 holder java.util.stream.AbstractPipeline 90999
method java.util.stream.AbstractPipeline wrapSink (Ljava/util/stream/Sink;)Ljava/util/stream/Sink; hot
call 1 inlined 90999
call 23 inlined 94983 class java.util.stream.ReferencePipeline$3 90003 class java.util.stream.ReferencePipeline$4 996
branch 11 91511 95517
method java.util.stream.ForEachOps makeRef (Ljava/util/function/Consumer;Z)Ljava/util/stream/TerminalOp; cold
call 1 inlined 90254
call 11 inlined 90254
method java.util.stream.ForEachOps$ForEachOp <init> (Z)V cold
call 1 inlined 90254
method java.util.stream.ForEachOps$ForEachOp evaluateSequential (Ljava/util/stream/PipelineHelper;Ljava/util/Spliterator;)Ljava/lang/Void; cold
call 3 inlined 90254 class java.util.stream.ReferencePipeline$3 90254
call 9 inlined 90254 holder java.util.stream.ForEachOps$ForEachOp 90254
method java.util.stream.ForEachOps$ForEachOp getOpFlags ()I hot
branch 4 90509 0
method java.util.stream.ForEachOps$ForEachOp$OfRef <init> (Ljava/util/function/Consumer;Z)V cold
call 2 inlined 90254
method java.util.stream.ForEachOps$ForEachOp$OfRef accept (Ljava/lang/Object;)V hot
call 5 inlined 20321 class java.util.stream.ReferencePipeline$4$1 20321
method java.util.stream.ForEachOps$ForEachOp$OfRef evaluateSequential (Ljava/util/stream/PipelineHelper;Ljava/util/Spliterator;)Ljava/lang/Object; hot
call 3 inlined 90253
method java.util.stream.IntPipeline$1$1 accept (I)V hot
call 9 inlined 112119 lambda Odd.lambda$stream$1(I)Ljava/lang/String; 112119
call 14 inlined 112119 class java.util.stream.ReferencePipeline$2$1 112119
method java.util.stream.IntPipeline$10$1 accept (I)V hot
call 5 inlined 36388 lambda Odd.lambda$stream$0(I)Z 36388
call 18 inlined 24198 class java.util.stream.IntPipeline$1$1 24198
branch 10 12362 24538
method java.util.stream.IntPipeline$10$1 begin (J)V cold
call 7 called 0
method java.util.stream.PipelineHelper <init> ()V cold
call 1 inlined 186513
method java.util.stream.ReduceOps$5ReducingSink accept (I)V hot
call 10 inlined 20321 lambda java.lang.Integer.sum(II)I 20321
method java.util.stream.ReduceOps$5ReducingSink get ()Ljava/lang/Object; cold
call 1 called 0
method java.util.stream.ReduceOps$6 makeSink ()Ljava/util/stream/ReduceOps$AccumulatingSink; cold
call 1 called 0
method java.util.stream.ReduceOps$ReduceOp evaluateSequential (Ljava/util/stream/PipelineHelper;Ljava/util/Spliterator;)Ljava/lang/Object; cold
call 2 inlined 0
call 6 called 0
call 12 inlined 0
method java.util.stream.ReferencePipeline <init> (Ljava/util/Spliterator;IZ)V cold
call 4 inlined 89998
method java.util.stream.ReferencePipeline <init> (Ljava/util/stream/AbstractPipeline;I)V cold
call 3 inlined 90766
method java.util.stream.ReferencePipeline forEach (Ljava/util/function/Consumer;)V hot
call 3 inlined 90253
call 6 inlined 90253 holder java.util.stream.AbstractPipeline 90253
method java.util.stream.ReferencePipeline map (Ljava/util/function/Function;)Ljava/util/stream/Stream; hot
call 1 inlined 89998
call 22 inlined 89998
method java.util.stream.ReferencePipeline$2$1 accept (Ljava/lang/Object;)V hot
call 5 inlined 112119 lambda Odd.lambda$stream$2(Ljava/lang/String;)Z 112119
call 18 inlined 90201 class java.util.stream.ReferencePipeline$7$1FlatMap 90201
branch 10 21993 90510
method java.util.stream.ReferencePipeline$3 <init> (Ljava/util/stream/ReferencePipeline;Ljava/util/stream/AbstractPipeline;Ljava/util/stream/StreamShape;ILjava/util/function/Function;)V cold
call 8 inlined 89998
call 18 inlined 89998
method java.util.stream.ReferencePipeline$3 opWrapSink (ILjava/util/stream/Sink;)Ljava/util/stream/Sink; hot
call 10 inlined 90253
method java.util.stream.ReferencePipeline$3$1 <init> (Ljava/util/stream/ReferencePipeline$3;Ljava/util/stream/Sink;Ljava/util/function/Function;)V cold
call 7 inlined 90254
call 14 inlined 90254
method java.util.stream.ReferencePipeline$3$1 accept (Ljava/lang/Object;)V hot
call 9 inlined 20321 lambda Odd.lambda$stream$4(Ljava/lang/String;Ljava/lang/String;)Ljava/lang/String; 20321
call 14 inlined 20321 class java.util.stream.ForEachOps$ForEachOp$OfRef 20321
method java.util.stream.ReferencePipeline$4$1 accept (Ljava/lang/Object;)V hot
call 9 inlined 20321 lambda java.lang.String.length()I 20321
call 14 inlined 20321 class java.util.stream.ReduceOps$5ReducingSink 20321
method java.util.stream.ReferencePipeline$7$1FlatMap accept (Ljava/lang/Object;)V hot
call 5 inlined 89998 lambda Odd.lambda$stream$3(Ljava/util/List;Ljava/lang/String;)Ljava/util/stream/Stream; 89998
call 45 inlined 89998 holder java.util.stream.AbstractPipeline 89998
call 57 inlined 89998 holder java.util.stream.ReferencePipeline 89998
call 67 inlined 89998 holder java.util.stream.AbstractPipeline 89998
branch 15 0 90510
branch 22 90510 0
branch 63 0 90510
method java.util.stream.ReferencePipeline$Head <init> (Ljava/util/Spliterator;IZ)V cold
call 4 inlined 89998
method java.util.stream.ReferencePipeline$StatelessOp <init> (Ljava/util/stream/AbstractPipeline;Ljava/util/stream/StreamShape;I)V cold
call 3 inlined 90766
branch 9 91278 0
method java.util.stream.Sink begin (J)V hot
method java.util.stream.Sink end ()V hot
method java.util.stream.Sink$ChainedInt end ()V cold
call 4 called 0
method java.util.stream.Sink$ChainedReference <init> (Ljava/util/stream/Sink;)V cold
call 1 inlined 90760
call 6 inlined 90760
method java.util.stream.Sink$ChainedReference begin (J)V hot
call 5 inlined 90999 class java.util.stream.ForEachOps$ForEachOp$OfRef 90003 class java.util.stream.ReduceOps$5ReducingSink 996
method java.util.stream.Sink$ChainedReference end ()V hot
call 4 inlined 91998 class java.util.stream.ForEachOps$ForEachOp$OfRef 90006 class java.util.stream.ReferencePipeline$7$1FlatMap 996
method java.util.stream.StreamOpFlag combineOpFlags (II)I cold
call 2 inlined 185512
method java.util.stream.StreamOpFlag fromCharacteristics (Ljava/util/Spliterator;)I hot
call 1 inlined 90999 class java.util.AbstractList$RandomAccessSpliterator 90003 class java.util.Spliterators$IntArraySpliterator 996
branch 10 91511 0
method java.util.stream.StreamOpFlag getMask (I)I cold
branch 1 186024 0
method java.util.stream.StreamOpFlag isKnown (I)Z hot
branch 10 93816 0
method java.util.stream.StreamSupport stream (Ljava/util/Spliterator;Z)Ljava/util/stream/Stream; hot
call 1 inlined 89998
call 11 inlined 89998
call 15 inlined 89998
method jdk.internal.misc.Unsafe allocateUninitializedArray (Ljava/lang/Class;I)Ljava/lang/Object; hot
call 16 inlined 6227 holder java.lang.Class 6227
call 51 called 6231
branch 1 8617 0
branch 19 8617 0
branch 34 8617 0
method jdk.internal.misc.Unsafe allocateUninitializedArray0 (Ljava/lang/Class;I)Ljava/lang/Object; hot
branch 4 0 8621
method jdk.internal.misc.Unsafe putIntOpaque (Ljava/lang/Object;JI)V hot
call 5 called 0
method jdk.internal.misc.Unsafe putReferenceOpaque (Ljava/lang/Object;JLjava/lang/Object;)V hot
call 5 called 0
method jdk.internal.misc.Unsafe weakCompareAndSetInt (Ljava/lang/Object;JII)Z hot
call 7 called 0
method jdk.internal.util.DecimalDigits stringSize (I)I hot
branch 3 1 6602
branch 19 0 17548
branch 24 10945 6603
method jdk.internal.util.DecimalDigits uncheckedGetCharsLatin1 (II[B)I hot
call 45 inlined 4681
call 67 inlined 1934
call 83 inlined 4692
call 99 called 1
branch 4 6881 1
branch 16 1 6881
branch 25 6882 4862
branch 56 4873 2009
branch 88 6881 1
method jdk.internal.util.DecimalDigits uncheckedPutCharLatin1 ([BII)V hot
call 36 called 0
branch 3 5583 0
method jdk.internal.util.DecimalDigits uncheckedPutPairLatin1 ([BII)V hot
call 16 inlined 7168
call 27 inlined 7168
