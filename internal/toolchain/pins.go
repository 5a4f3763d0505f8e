package toolchain

import "path"

// builderVersion is the release of org.graalvm.nativeimage:svm that Assemble installs. A newer
// one is a change of this file, proven by the acceptance test.
const builderVersion = "25.0.2"

// builderFeature is the Java release that the builder compiles for and runs on.
const builderFeature = 25

// pin is a published file, known by its hash.
type pin struct {
	path   string // below the repository's base URL
	sha256 string
	size   int64 // bytes
}

func (p pin) name() string { return path.Base(p.path) }

// builderJars are svm and svm-configure with all their dependencies, as Maven resolves them.
var builderJars = []pin{
	{"org/graalvm/compiler/compiler/25.0.2/compiler-25.0.2.jar", "475eae6a53f30e358e1849384e305281f3e1d0e13f69182bc7621c70839c1b7f", 24565484},
	{"org/graalvm/espresso/espresso-svm/25.0.2/espresso-svm-25.0.2.jar", "e0327ad8d966e192722de10d0d50a8fdce0c13901f5c226ebd1e6cb2c76e7648", 752464},
	{"org/graalvm/nativeimage/native-image-base/25.0.2/native-image-base-25.0.2.jar", "b0312ea07d22ff4aca5ba751cd05d93c8879fc7f98599ab47975431ee9d9e33f", 118571},
	{"org/graalvm/nativeimage/objectfile/25.0.2/objectfile-25.0.2.jar", "e52dc4f55ce27cc34c07f86d1fd1f380a9e2619cf41343ae13fffab4f7bfe261", 1451810},
	{"org/graalvm/nativeimage/pointsto/25.0.2/pointsto-25.0.2.jar", "117d728ed5cbd118916dff3d699097425dfbd6a2e3d3861c152cdb022e188240", 1971099},
	{"org/graalvm/nativeimage/svm-capnproto-runtime/25.0.2/svm-capnproto-runtime-25.0.2.jar", "a39c960e80eb476793c9822c716e6c32a2f2a18987abadb54ce7a0fe9c583aab", 309491},
	{"org/graalvm/nativeimage/svm-configure/25.0.2/svm-configure-25.0.2.jar", "14f00d18323ea391808f1e8982dfaabd7f82083df1bd22f11cdd37203dfb156f", 658802},
	{"org/graalvm/nativeimage/svm/25.0.2/svm-25.0.2.jar", "283f4d24bbb1634772ed4bf01b456b4e04dd74889dcdb38c4f29f825f530428c", 25714591},
	{"org/graalvm/sdk/collections/25.0.2/collections-25.0.2.jar", "248e08c3ce02e47746f4697d0127f7142add99474ae31e7dea95e7da9823aacf", 124522},
	{"org/graalvm/sdk/nativeimage-libgraal/25.0.2/nativeimage-libgraal-25.0.2.jar", "df2b91706efdf0f6fadd026f530351daabca7973ab904de98b9ecb18a923f01d", 5138},
	{"org/graalvm/sdk/nativeimage/25.0.2/nativeimage-25.0.2.jar", "ab30dea76d42dd78f1755faa062af0f0b853df2b3aaac92a0f912e7eebec3971", 231183},
	{"org/graalvm/sdk/word/25.0.2/word-25.0.2.jar", "1e616c48deed3b5f855227a88ccfe9c5a71f0ead6422f9c41cd853f584abfa88", 40286},
	{"org/graalvm/truffle/truffle-compiler/25.0.2/truffle-compiler-25.0.2.jar", "e74384ef882d7867fe02be57907909cd9137f763b3c8c5242cdd3ea7970b6933", 63510},
}

// jdkSources are releases of the JDK's source, as Debian publishes them; any of them does. A
// point release of Debian replaces the file in its pool, so the list holds those of the stable
// release, of its security updates and of before; the first that can be had is taken. The
// hashes are those of Debian's signed indexes.
var jdkSources = []pin{
	{"debian/pool/main/o/openjdk-25/openjdk-25_25.0.3+9.orig.tar.xz", "2dd6c441b49705480db1ebfcd03f43d5dcb7f1d4290e98c1fa6eeefae50cfa07", 74084132},
	{"debian-security/pool/updates/main/o/openjdk-25/openjdk-25_25.0.5.1+2.orig.tar.xz", "a2c962c5270baaace9bc214f69d98dd0125b69ccd475d0ecb2364d887b284409", 74408464},
	{"debian-security/pool/updates/main/o/openjdk-25/openjdk-25_25.0.2+10.orig.tar.xz", "6657d76684eb6d509403095f87291120f258e09aef3065104df302ec2f716f15", 74028008},
}

const (
	mavenCentral = "https://repo.maven.apache.org/maven2"
	debianMirror = "http://deb.debian.org"
)
