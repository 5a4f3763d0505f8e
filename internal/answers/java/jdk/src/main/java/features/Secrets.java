package features;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.security.AlgorithmParameters;
import java.security.KeyFactory;
import java.security.KeyPairGenerator;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.Provider;
import java.security.SecureRandom;
import java.security.Security;
import java.security.Signature;
import java.security.cert.CertPathBuilder;
import java.security.cert.CertPathValidator;
import java.security.cert.CertStore;
import java.security.cert.CertificateFactory;
import java.security.cert.CollectionCertStoreParameters;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.NamedParameterSpec;
import java.security.spec.X509EncodedKeySpec;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.stream.Collectors;
import javax.crypto.Cipher;
import javax.crypto.KEM;
import javax.crypto.KeyAgreement;
import javax.crypto.KeyGenerator;
import javax.crypto.Mac;
import javax.crypto.SealedObject;
import javax.crypto.SecretKeyFactory;
import javax.crypto.spec.ChaCha20ParameterSpec;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.IvParameterSpec;
import javax.crypto.spec.PBEKeySpec;
import javax.crypto.spec.SecretKeySpec;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;
import javax.security.auth.x500.X500Principal;

/** Security and cryptography. */
final class Secrets {
    private Secrets() {}

    private static String hex(byte[] b) {
        return HexFormat.of().formatHex(b);
    }

    private static String signed(String algorithm, String keys) throws Exception {
        KeyPairGenerator generator = KeyPairGenerator.getInstance(keys);
        if (keys.equals("RSA") || keys.equals("DSA")) {
            generator.initialize(1024);
        }
        var pair = generator.generateKeyPair();
        Signature s = Signature.getInstance(algorithm);
        s.initSign(pair.getPrivate());
        s.update("text".getBytes());
        byte[] b = s.sign();
        Signature v = Signature.getInstance(algorithm);
        v.initVerify(KeyFactory.getInstance(keys).generatePublic(new X509EncodedKeySpec(pair.getPublic().getEncoded())));
        v.update("text".getBytes());
        return v.verify(b) + s.getProvider().getName();
    }

    private static String store(String type) throws Exception {
        KeyStore ks = KeyStore.getInstance(type);
        ks.load(null, "pw".toCharArray());
        ks.setEntry("k", new KeyStore.SecretKeyEntry(new SecretKeySpec(new byte[16], "AES")), new KeyStore.PasswordProtection("pw".toCharArray()));
        ByteArrayOutputStream b = new ByteArrayOutputStream();
        ks.store(b, "pw".toCharArray());
        KeyStore again = KeyStore.getInstance(type);
        again.load(new ByteArrayInputStream(b.toByteArray()), "pw".toCharArray());
        return again.size() + again.getType() + again.getKey("k", "pw".toCharArray()).getAlgorithm();
    }

    static void addTo(Jdk.Adder to) {
        for (String name : List.of("MD5", "SHA-1", "SHA-256", "SHA3-512", "SHA-512/256", "MD2")) {
            to.add("security/digest-" + name.replace('/', '-'), () -> hex(MessageDigest.getInstance(name).digest("text".getBytes())) + MessageDigest.getInstance(name).getProvider());
        }
        to.add("security/digest-unknown", () -> MessageDigest.getInstance("NONE-1"));
        to.add("security/mac", () -> {
            Mac m = Mac.getInstance("HmacSHA512");
            m.init(new SecretKeySpec("key".getBytes(), "x"));
            return hex(m.doFinal("text".getBytes()));
        });
        to.add("security/aes-gcm", () -> {
            Cipher c = Cipher.getInstance("AES/GCM/NoPadding");
            c.init(Cipher.ENCRYPT_MODE, new SecretKeySpec(new byte[32], "AES"), new GCMParameterSpec(128, new byte[12]));
            c.updateAAD("aad".getBytes());
            return hex(c.doFinal("text".getBytes())) + c.getParameters().getAlgorithm();
        });
        to.add("security/aes-cbc-bad-padding", () -> {
            Cipher c = Cipher.getInstance("AES/CBC/PKCS5Padding");
            c.init(Cipher.DECRYPT_MODE, new SecretKeySpec(new byte[16], "AES"), new IvParameterSpec(new byte[16]));
            return c.doFinal(new byte[16]);
        });
        to.add("security/old-ciphers", () -> {
            StringBuilder all = new StringBuilder();
            for (String name : List.of("DESede", "Blowfish", "ARCFOUR", "DES", "RC2")) {
                Cipher c = Cipher.getInstance(name);
                c.init(Cipher.ENCRYPT_MODE, new SecretKeySpec(Arrays.copyOf("0123456789abcdefghijklmn".getBytes(), name.equals("DESede") ? 24 : name.equals("DES") ? 8 : 16), name));
                all.append(hex(c.doFinal("text".getBytes()))).append(' ');
            }
            return all;
        });
        to.add("security/chacha20", () -> {
            Cipher c = Cipher.getInstance("ChaCha20");
            c.init(Cipher.ENCRYPT_MODE, new SecretKeySpec(new byte[32], "ChaCha20"), new ChaCha20ParameterSpec(new byte[12], 1));
            return hex(c.doFinal("text".getBytes()));
        });
        to.add("security/cipher-unknown", () -> Cipher.getInstance("SM4"));
        to.add("security/pbkdf2", () -> hex(SecretKeyFactory.getInstance("PBKDF2WithHmacSHA256").generateSecret(new PBEKeySpec("pw".toCharArray(), "salt".getBytes(), 100, 128)).getEncoded()));
        to.add("security/rsa-signature", () -> signed("SHA256withRSA", "RSA"));
        to.add("security/ecdsa-signature", () -> signed("SHA256withECDSA", "EC"));
        to.add("security/ed25519-signature", () -> signed("Ed25519", "Ed25519"));
        to.add("security/dsa-signature", () -> signed("SHA256withDSA", "DSA"));
        to.add("security/ml-dsa-signature", () -> signed("ML-DSA", "ML-DSA"));
        to.add("security/x25519-agreement", () -> {
            KeyPairGenerator g = KeyPairGenerator.getInstance("XDH");
            g.initialize(NamedParameterSpec.X25519);
            var a = g.generateKeyPair();
            var b = g.generateKeyPair();
            KeyAgreement k = KeyAgreement.getInstance("XDH");
            k.init(a.getPrivate());
            k.doPhase(b.getPublic(), true);
            return k.generateSecret().length;
        });
        to.add("security/kem", () -> {
            KeyPairGenerator g = KeyPairGenerator.getInstance("X25519");
            return KEM.getInstance("DHKEM").newEncapsulator(g.generateKeyPair().getPublic()).encapsulate().key().getEncoded().length;
        });
        to.add("security/ec-parameters", () -> {
            AlgorithmParameters p = AlgorithmParameters.getInstance("EC");
            p.init(new ECGenParameterSpec("secp384r1"));
            return p.toString();
        });
        to.add("security/key-generator", () -> {
            KeyGenerator g = KeyGenerator.getInstance("AES");
            g.init(256);
            return g.generateKey().getEncoded().length + g.getProvider().getName();
        });
        to.add("security/sealed-object", () -> {
            Cipher c = Cipher.getInstance("AES");
            SecretKeySpec key = new SecretKeySpec(new byte[16], "AES");
            c.init(Cipher.ENCRYPT_MODE, key);
            return new SealedObject("sealed", c).getObject(key);
        });
        for (String type : List.of("PKCS12", "JCEKS")) {
            to.add("security/store-" + type, () -> store(type));
        }
        to.add("security/store-JKS", () -> {
            KeyStore ks = KeyStore.getInstance("JKS");
            ks.load(null, null);
            return ks.size() + ks.getProvider().getName() + KeyStore.getDefaultType();
        });
        to.add("security/store-wrong-password", () -> {
            KeyStore ks = KeyStore.getInstance("PKCS12");
            ks.load(null, null);
            ByteArrayOutputStream b = new ByteArrayOutputStream();
            ks.store(b, "pw".toCharArray());
            ks.load(new ByteArrayInputStream(b.toByteArray()), "other".toCharArray());
            return "";
        });
        to.add("security/providers", () -> Arrays.stream(Security.getProviders()).map(Provider::getName).collect(Collectors.joining(" ")));
        to.add("security/provider-by-name", () -> {
            StringBuilder all = new StringBuilder();
            for (String name : List.of("SunJGSS", "SunSASL", "XMLDSig", "SunPCSC", "JdkLDAP", "JdkSASL", "SunPKCS11", "SunEC", "SunJSSE", "SunRsaSign")) {
                all.append(name).append(Security.getProvider(name) != null).append(' ');
            }
            return all;
        });
        to.add("security/services", () -> Arrays.stream(Security.getProviders()).flatMap(p -> p.getServices().stream()).map(s -> s.getType()).distinct().sorted().toList());
        to.add("security/own-provider", () -> {
            Provider p = new Provider("Mine", "1", "mine") {};
            p.put("MessageDigest.MINE", Mine.class.getName());
            return hex(MessageDigest.getInstance("MINE", p).digest("ab".getBytes()));
        });
        to.add("security/secure-random", () -> SecureRandom.getInstance("SHA1PRNG").getAlgorithm() + new SecureRandom().getAlgorithm() + SecureRandom.getInstance("DRBG").getProvider() + SecureRandom.getInstanceStrong().getAlgorithm());
        to.add("security/tls", () -> Arrays.toString(SSLContext.getDefault().getSupportedSSLParameters().getProtocols()) + SSLContext.getInstance("TLSv1.3").getProtocol() + SSLContext.getDefault().getDefaultSSLParameters().getCipherSuites().length);
        to.add("security/trust", () -> {
            TrustManagerFactory t = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
            t.init((KeyStore) null);
            return t.getAlgorithm() + (((javax.net.ssl.X509TrustManager) t.getTrustManagers()[0]).getAcceptedIssuers().length > 50) + KeyManagerFactory.getDefaultAlgorithm();
        });
        to.add("security/cert-path", () -> CertPathValidator.getInstance("PKIX").getProvider() + CertPathBuilder.getDefaultType() + CertStore.getInstance("Collection", new CollectionCertStoreParameters()).getType());
        to.add("security/certificate-damaged", () -> CertificateFactory.getInstance("X.509").generateCertificate(new ByteArrayInputStream("x".getBytes())));
        to.add("security/principal", () -> new X500Principal("CN=Duke, OU=Java, C=US").getName(X500Principal.CANONICAL));
        to.add("security/sasl", () -> javax.security.sasl.Sasl.createSaslClient(new String[] {"PLAIN"}, null, "imap", "h", null, callbacks -> {
            for (var c : callbacks) {
                if (c instanceof javax.security.auth.callback.NameCallback n) {
                    n.setName("u");
                } else if (c instanceof javax.security.auth.callback.PasswordCallback p) {
                    p.setPassword("p".toCharArray());
                }
            }
        }).getMechanismName());
        to.add("security/gss", () -> Arrays.toString(org.ietf.jgss.GSSManager.getInstance().getMechs()));
        to.add("security/xml-signature", () -> javax.xml.crypto.dsig.XMLSignatureFactory.getInstance("DOM").getProvider().getName());
        to.add("security/login-configuration", () -> new javax.security.auth.login.LoginContext("none"));
        to.add("security/properties", () -> Security.getProperty("keystore.type") + " " + Security.getProperty("securerandom.source") + Security.getProperty("jdk.tls.disabledAlgorithms").contains("SSLv3"));
        to.add("security/subject", () -> {
            var s = new javax.security.auth.Subject();
            s.getPrincipals().add(new X500Principal("CN=a"));
            return javax.security.auth.Subject.callAs(s, () -> javax.security.auth.Subject.current().getPrincipals().iterator().next());
        });
    }

    /** A digest of the program's own provider. */
    public static final class Mine extends java.security.MessageDigestSpi {
        private int sum;

        @Override
        protected void engineUpdate(byte input) {
            sum += input;
        }

        @Override
        protected void engineUpdate(byte[] input, int offset, int len) {
            for (int i = 0; i < len; i++) {
                sum += input[offset + i];
            }
        }

        @Override
        protected byte[] engineDigest() {
            return new byte[] {(byte) sum};
        }

        @Override
        protected void engineReset() {
            sum = 0;
        }
    }
}
