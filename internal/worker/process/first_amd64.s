#include "textflag.h"

// The program of the first process; see first.go. It is copied from here, so it names no address.
TEXT firstCode<>(SB),NOSPLIT|NOFRAME,$0-0
	SUBQ	$16, SP
	MOVL	$0, (SP)
again:
	MOVQ	$61, AX	// wait4
	MOVQ	$-1, DI
	MOVQ	SP, SI
	XORL	DX, DX
	XORL	R10, R10
	SYSCALL
	CMPQ	AX, $301
	JEQ	tell
	CMPQ	AX, $-4	// EINTR
	JEQ	again
	TESTQ	AX, AX
	JGE	again
tell:
	MOVQ	$1, AX	// write
	MOVQ	$3, DI
	MOVQ	SP, SI
	MOVQ	$4, DX
	SYSCALL
	MOVQ	$231, AX	// exit_group
	XORL	DI, DI
	SYSCALL
	INT	$3

TEXT firstCodeEnd<>(SB),NOSPLIT|NOFRAME,$0-0
	RET

// func firstBounds() (begin, end uintptr)
TEXT ·firstBounds(SB),NOSPLIT,$0-16
	LEAQ	firstCode<>(SB), AX
	MOVQ	AX, begin+0(FP)
	LEAQ	firstCodeEnd<>(SB), AX
	MOVQ	AX, end+8(FP)
	RET
