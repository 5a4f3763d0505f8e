#include "textflag.h"

// The fields of op in script.go.
#define OP_NR		0
#define OP_ARG(i)	(8+8*i)
#define OP_INDIRECT	56
#define OP_RESULT	64
#define OP_NARROW	72
#define OP_FATE		80
#define OP_CHILD	88
#define OP_LENGTH	96
#define OP_SIZE		104

// func clone(args unsafe.Pointer, size uintptr, ops unsafe.Pointer, n uintptr, failure unsafe.Pointer) (pid, errno uintptr)
TEXT ·clone(SB),NOSPLIT|NOFRAME,$0-56
	MOVQ	args+0(FP), DI
	MOVQ	size+8(FP), SI
	MOVQ	ops+16(FP), R12
	MOVQ	n+24(FP), R13
	MOVQ	failure+32(FP), BX
	MOVQ	$435, AX	// clone3
	SYSCALL
	TESTQ	AX, AX
	JZ	child
	CMPQ	AX, $0xfffffffffffff001
	JCC	failed
	MOVQ	AX, pid+40(FP)
	MOVQ	$0, errno+48(FP)
	RET
failed:
	NEGQ	AX
	MOVQ	$0, pid+40(FP)
	MOVQ	AX, errno+48(FP)
	RET

	// The child. It has only registers; system calls keep all but AX, CX and R11.
child:
	TESTQ	R13, R13
	JZ	bad
	MOVQ	OP_INDIRECT(R12), CX
	MOVQ	OP_ARG(0)(R12), DI
	BTQ	$0, CX
	JCC	a1
	MOVQ	(DI), DI
a1:
	MOVQ	OP_ARG(1)(R12), SI
	BTQ	$1, CX
	JCC	a2
	MOVQ	(SI), SI
a2:
	MOVQ	OP_ARG(2)(R12), DX
	BTQ	$2, CX
	JCC	a3
	MOVQ	(DX), DX
a3:
	MOVQ	OP_ARG(3)(R12), R10
	BTQ	$3, CX
	JCC	a4
	MOVQ	(R10), R10
a4:
	MOVQ	OP_ARG(4)(R12), R8
	BTQ	$4, CX
	JCC	a5
	MOVQ	(R8), R8
a5:
	MOVQ	OP_ARG(5)(R12), R9
	BTQ	$5, CX
	JCC	go
	MOVQ	(R9), R9
go:
	MOVQ	OP_NR(R12), AX
	SYSCALL
	CMPQ	AX, $0xfffffffffffff001
	JCC	error
	TESTQ	AX, AX
	JNZ	store
	MOVQ	OP_CHILD(R12), CX
	TESTQ	CX, CX
	JZ	zero
	// A process that this call made. The result, which is shared, is its maker's.
	MOVQ	OP_LENGTH(R12), R13
	MOVQ	CX, R12
	JMP	child
zero:
	MOVQ	OP_FATE(R12), CX
	CMPQ	CX, $2
	JNE	store
	MOVQ	$-32, AX	// EPIPE
	JMP	bad
store:
	MOVQ	OP_RESULT(R12), CX
	MOVQ	AX, (CX)
	MOVQ	OP_NARROW(R12), CX
	TESTQ	CX, CX
	JZ	next
	MOVL	AX, (CX)
next:
	ADDQ	$OP_SIZE, R12
	DECQ	R13
	JMP	child
error:
	MOVQ	OP_FATE(R12), CX
	CMPQ	CX, $1
	JEQ	next
bad:
	MOVQ	0(BX), CX
	TESTQ	CX, CX
	JNZ	exit	// the first failure is the one that counts
	MOVQ	R12, 8(BX)
	MOVQ	AX, 0(BX)
exit:
	MOVQ	$127, DI
	MOVQ	$231, AX	// exit_group
	SYSCALL
	INT	$3
