package dev.cloudjit.runtime;

import com.amazonaws.services.lambda.runtime.Client;
import com.amazonaws.services.lambda.runtime.ClientContext;
import com.amazonaws.services.lambda.runtime.CognitoIdentity;
import dev.cloudjit.runtime.json.JsonText;
import java.util.LinkedHashMap;
import java.util.Map;

/** What the caller says of itself: rarely sent, so loaded only then. */
final class Caller {
    private Caller() {}

    static ClientContext clientContext(String json) {
        return new ParsedContext(JsonText.parseObject(json));
    }

    static CognitoIdentity identity(String json) {
        return new ParsedIdentity(JsonText.parseObject(json));
    }

    private static String text(Map<String, Object> object, String name) {
        Object value = object.get(name);
        return value == null ? null : value.toString();
    }

    /** Null if there is no object of that name. */
    private static Map<String, String> texts(Object value) {
        if (!(value instanceof Map)) {
            return null;
        }
        Map<String, String> texts = new LinkedHashMap<>();
        for (Map.Entry<?, ?> entry : ((Map<?, ?>) value).entrySet()) {
            Object v = entry.getValue();
            texts.put((String) entry.getKey(), v == null ? null : v.toString());
        }
        return texts;
    }

    private static final class ParsedContext implements ClientContext {
        private final Client client;
        private final Map<String, String> custom;
        private final Map<String, String> environment;

        @SuppressWarnings("unchecked")
        ParsedContext(Map<String, Object> json) {
            Object c = json.get("client");
            client = c instanceof Map ? new ParsedClient((Map<String, Object>) c) : null;
            custom = texts(json.get("custom"));
            environment = texts(json.get("env"));
        }

        @Override
        public Client getClient() {
            return client;
        }

        @Override
        public Map<String, String> getCustom() {
            return custom;
        }

        @Override
        public Map<String, String> getEnvironment() {
            return environment;
        }
    }

    private static final class ParsedClient implements Client {
        private final Map<String, Object> json;

        ParsedClient(Map<String, Object> json) {
            this.json = json;
        }

        @Override
        public String getInstallationId() {
            return text(json, "installation_id");
        }

        @Override
        public String getAppTitle() {
            return text(json, "app_title");
        }

        @Override
        public String getAppVersionName() {
            return text(json, "app_version_name");
        }

        @Override
        public String getAppVersionCode() {
            return text(json, "app_version_code");
        }

        @Override
        public String getAppPackageName() {
            return text(json, "app_package_name");
        }
    }

    private static final class ParsedIdentity implements CognitoIdentity {
        private final Map<String, Object> json;

        ParsedIdentity(Map<String, Object> json) {
            this.json = json;
        }

        @Override
        public String getIdentityId() {
            return text(json, "cognitoIdentityId");
        }

        @Override
        public String getIdentityPoolId() {
            return text(json, "cognitoIdentityPoolId");
        }
    }
}
