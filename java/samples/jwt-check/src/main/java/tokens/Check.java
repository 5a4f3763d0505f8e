package tokens;

import com.amazonaws.services.lambda.runtime.Context;
import com.auth0.jwt.JWT;
import com.auth0.jwt.JWTVerifier;
import com.auth0.jwt.algorithms.Algorithm;
import com.auth0.jwt.exceptions.JWTVerificationException;
import com.auth0.jwt.interfaces.DecodedJWT;
import java.util.LinkedHashMap;
import java.util.Map;

/** Says whether a bearer token is valid, and whose it is. */
public class Check {
    private final JWTVerifier verifier;

    public Check() {
        String secret = System.getenv().getOrDefault("TOKEN_SECRET", "a secret for examples only");
        verifier = JWT.require(Algorithm.HMAC256(secret)).withIssuer("https://id.example.com").build();
    }

    public Map<String, Object> authorize(Map<String, String> request, Context context) {
        Map<String, Object> answer = new LinkedHashMap<>();
        String header = request.getOrDefault("authorization", "");
        if (!header.startsWith("Bearer ")) {
            answer.put("authorized", false);
            answer.put("reason", "no bearer token");
            return answer;
        }
        try {
            DecodedJWT token = verifier.verify(header.substring("Bearer ".length()));
            answer.put("authorized", true);
            answer.put("subject", token.getSubject());
            answer.put("scopes", token.getClaim("scopes").asList(String.class));
        } catch (JWTVerificationException e) {
            answer.put("authorized", false);
            answer.put("reason", e.getClass().getSimpleName());
        }
        return answer;
    }
}
