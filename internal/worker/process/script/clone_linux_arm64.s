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
	MOVD	args+0(FP), R0
	MOVD	size+8(FP), R1
	MOVD	ops+16(FP), R19
	MOVD	n+24(FP), R20
	MOVD	failure+32(FP), R21
	MOVD	$435, R8	// clone3
	SVC
	CBZ	R0, child
	CMN	$4095, R0
	BCS	failed
	MOVD	R0, pid+40(FP)
	MOVD	ZR, errno+48(FP)
	RET
failed:
	NEG	R0, R0
	MOVD	ZR, pid+40(FP)
	MOVD	R0, errno+48(FP)
	RET

	// The child. It has only registers; system calls keep all but R0.
child:
	CBZ	R20, bad
	MOVD	OP_INDIRECT(R19), R22
	MOVD	OP_ARG(0)(R19), R0
	TBZ	$0, R22, a1
	MOVD	(R0), R0
a1:
	MOVD	OP_ARG(1)(R19), R1
	TBZ	$1, R22, a2
	MOVD	(R1), R1
a2:
	MOVD	OP_ARG(2)(R19), R2
	TBZ	$2, R22, a3
	MOVD	(R2), R2
a3:
	MOVD	OP_ARG(3)(R19), R3
	TBZ	$3, R22, a4
	MOVD	(R3), R3
a4:
	MOVD	OP_ARG(4)(R19), R4
	TBZ	$4, R22, a5
	MOVD	(R4), R4
a5:
	MOVD	OP_ARG(5)(R19), R5
	TBZ	$5, R22, go
	MOVD	(R5), R5
go:
	MOVD	OP_NR(R19), R8
	SVC
	CMN	$4095, R0
	BCS	error
	CBNZ	R0, store
	MOVD	OP_CHILD(R19), R22
	CBZ	R22, zero
	// A process that this call made. The result, which is shared, is its maker's.
	MOVD	OP_LENGTH(R19), R20
	MOVD	R22, R19
	B	child
zero:
	MOVD	OP_FATE(R19), R22
	CMP	$2, R22
	BNE	store
	MOVD	$-32, R0	// EPIPE
	B	bad
store:
	MOVD	OP_RESULT(R19), R22
	MOVD	R0, (R22)
	MOVD	OP_NARROW(R19), R22
	CBZ	R22, next
	MOVW	R0, (R22)
next:
	ADD	$OP_SIZE, R19
	SUB	$1, R20
	B	child
error:
	MOVD	OP_FATE(R19), R22
	CMP	$1, R22
	BEQ	next
bad:
	MOVD	0(R21), R22
	CBNZ	R22, exit	// the first failure is the one that counts
	MOVD	R19, 8(R21)
	MOVD	R0, 0(R21)
exit:
	MOVD	$127, R0
	MOVD	$94, R8	// exit_group
	SVC
	BRK
