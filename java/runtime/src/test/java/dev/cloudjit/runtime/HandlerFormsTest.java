package dev.cloudjit.runtime;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Every form of handler, in Java, Kotlin and Scala, answers as under the published client. */
class HandlerFormsTest {
    @BeforeAll
    static void givePublishedClientItsLoader() throws Exception {
        HandlerOracleTest.givePublishedClientItsLoader();
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', textBlock = """
        Forms$OfRecords | {"id":"1","items":[{"name":"a","count":2,"kind":"TEA"},null],"byName":{"x":{"name":"b"}},"note":"n","rest":[{}]}
        Forms$OfRecords | {"id":null,"unknown":[1]}
        Forms$OfRecords | {}
        Forms$OfRecords | null
        Forms$OfRecords | []
        Forms$OfRecords | "text"
        Forms$OfRecords | {"items":{"not":"a list"}}
        Forms$OfRecords | {"items":[{"count":"many"}]}
        Forms$OfRecords | {"items":[{"kind":"COFFEE"}]}
        Forms$OfChecked | {"n":3}
        Forms$OfChecked | {"n":-3}
        Forms$OfChecked | {"n":null}
        Forms$OfChecked | {}
        Forms$OfTwoWays | {"a":"x","b":2}
        Forms$OfTwoWays | "x"
        Forms$OfEmpty | {}
        Forms$OfEmpty | {"a":1}
        Forms$OfPage | {"first":{"name":"a"},"all":[{"name":"b"}]}
        Forms$OfWords | {"URL":"u","aB":"x","isOpen":true,"ready":false,"letter":"l","bytes":"aGk="}
        Forms$OfWords | {"url":"u","AB":"x","open":true}
        Forms$ListOfRecords | [{"name":"a","kind":"JAM"}]
        Forms$OfEnum | "TEA"
        Forms$OfEnum | "JAM"
        Forms$OfEnum | "tea"
        Forms$OfEnum | 1
        Forms$OfEnum | ""
        Forms$OfEnum | null
        Forms$OfValues | {"date":1709200800000,"calendar":0,"kind":"JAM","counts":{"TEA":1},"kinds":["TEA"],"decimal":1.10,"integer":123456789012345678901}
        Forms$OfValues | {"date":"2024-02-29T10:00:00.000+00:00","uuid":"123e4567-e89b-12d3-a456-426614174000","locale":"de_AT","letter":"x","letters":"abc","small":-1}
        Forms$OfValues | {"shorts":[1,2],"matrix":[[1.5],[]],"floating":1e10,"longs":[9007199254740993],"flags":[true,null],"sorted":{"b":1,"a":2}}
        Forms$OfValues | {"numbered":{"1":"a"},"dated":{"TEA":0},"any":{"deep":[1,2.5,"x",null]},"type":"java.lang.String"}
        Forms$OfValues | {"date":"yesterday"}
        Forms$OfValues | {"small":300}
        Forms$OfValues | {"letter":"xy"}
        Forms$OfValues | {"decimal":"1.50","integer":"7","floating":"NaN"}
        Forms$OfDate | 0
        Forms$OfDate | "2024-02-29"
        Forms$OfDate | "x"
        Forms$OfTimes | {"instant":"2024-02-29T10:00:00Z"}
        Forms$OfTimes | {"day":"2024-02-29"}
        Forms$OfTimes | {"duration":"PT1S"}
        Forms$OfTimes | {}
        Forms$OfInstant | "x"
        Forms$OfDog | {"name":"d","legs":3,"barks":true}
        Forms$DogAsAnimal | {"name":"d","barks":true}
        Forms$DogAsObject | {"name":"d","barks":true}
        Forms$OfAbstract | {"a":"x"}
        Forms$OfInterface | "x"
        Forms$OfGetters | "x"
        Forms$OfFluent | {"name":"x"}
        Forms$OfNoDefault | {"name":"x"}
        Forms$Deep | {"a":4}
        Forms$Again | {"name":"x"}
        Forms$Bounded | {"name":"x"}
        Forms$EchoOfStrings::echo | "x"
        Forms$Child::covariant | "x"
        Forms$Child::inherited | "x"
        Forms$Child::hidden | "x"
        Forms$Visible::method | "x"
        Forms$Methods::generic | {"name":"x"}
        Forms$Methods::nested | [{"a":[3]}]
        Forms$Methods::wildcard | [{"name":"w"}]
        Forms$Methods::array | [1,2]
        Forms$Methods::array | ["x"]
        Forms$Methods::varargs | ["a","b"]
        Forms$Methods::primitive | true
        Forms$Methods::primitive | "true"
        Forms$Methods::primitive | null
        Forms$Methods::wide | 9007199254740993
        Forms$Methods::wide | 1.5
        Forms$Methods::wide | 99999999999999999999
        Forms$Methods::boxed | null
        Forms$Methods::boxed | 3.7
        Forms$Methods::none | {"a":1}
        Forms$Methods::optional | "x"
        Forms$Methods::optional | null
        Forms$Methods::stream | "x"
        Forms$Methods::sequence | "x"
        Forms$Methods::bytes | "aGk="
        Forms$Methods::bytes | "no base64!"
        Forms$Methods::streamOnly | "x"
        Forms$Methods::outOnly | "x"
        Forms$Methods::streams | {"raw": [ ]}
        Forms$Methods::contextFirst | "x"
        Forms$Methods::ordered | {"id":"o","items":[{"name":"a","count":1}]}
        Forms$Methods::kind | "JAM"
        Forms$Methods::locked | "x"
        Forms$Methods::last | "x"
        Forms$Methods::error | "x"
        Forms$Methods::nullMessage | "x"
        Forms$Closing | {"a":1}
        Forms$Nothing | {}
        Forms$Both | {}
        Forms$Events::sqs | {"Records":[{"messageId":"m","receiptHandle":"r","body":"b","attributes":{"A":"1"},"messageAttributes":{"k":{"stringValue":"v","dataType":"String"}},"md5OfBody":"x","eventSource":"aws:sqs","eventSourceARN":"arn","awsRegion":"r"}]}
        Forms$Events::sqsBatch | {"Records":[{"messageId":"m"}]}
        Forms$Events::sns | {"Records":[{"EventSource":"aws:sns","EventVersion":"1.0","EventSubscriptionArn":"arn","Sns":{"Type":"Notification","MessageId":"m","Timestamp":"2024-02-29T10:00:00.000Z","Message":"x","MessageAttributes":{"a":{"Type":"String","Value":"v"}}}}]}
        Forms$Events::s3 | {"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"r","eventTime":"2024-02-29T10:00:00.000Z","eventName":"ObjectCreated:Put","userIdentity":{"principalId":"p"},"requestParameters":{"sourceIPAddress":"1.2.3.4"},"responseElements":{"x-amz-request-id":"i"},"s3":{"s3SchemaVersion":"1.0","bucket":{"name":"b","arn":"a"},"object":{"key":"a+b%20c","size":3,"eTag":"e"}}}]}
        Forms$Events::s3Batch | {"invocationSchemaVersion":"1.0","invocationId":"i","job":{"id":"j"},"tasks":[{"taskId":"t","s3Key":"k","s3VersionId":"1","s3BucketArn":"b"}]}
        Forms$Events::dynamodb | {"Records":[{"eventID":"1","eventName":"MODIFY","eventVersion":"1.1","dynamodb":{"ApproximateCreationDateTime":1709200800,"Keys":{"Id":{"N":"1"}},"NewImage":{"M":{"M":{"x":{"S":"y"}}},"L":{"L":[{"BOOL":true},{"NULL":true}]},"B":{"B":"aGk="},"NS":{"NS":["1","2"]}},"SequenceNumber":"1","SizeBytes":9,"StreamViewType":"NEW_IMAGE"}}]}
        Forms$Events::kinesis | {"Records":[{"eventID":"e","kinesis":{"data":"aGk=","partitionKey":"p","approximateArrivalTimestamp":1709200800.5,"sequenceNumber":"1","kinesisSchemaVersion":"1.0"}}]}
        Forms$Events::firehose | {"invocationId":"i","deliveryStreamArn":"d","region":"r","records":[{"recordId":"1","approximateArrivalTimestamp":1709200800000,"data":"aGk="}]}
        Forms$Events::analytics | {"invocationId":"i","applicationArn":"a","streamArn":"s","records":[{"recordId":"1","kinesisStreamRecordMetadata":{"sequenceNumber":"1","partitionKey":"p","shardId":"s","approximateArrivalTimestamp":1709200800000},"data":"aGk="}]}
        Forms$Events::scheduled | {"version":"0","account":"1","region":"r","detail":{"a":{"b":[1]}},"detail-type":"Scheduled Event","source":"aws.events","time":"2024-02-29T10:00:00Z","id":"i","resources":["x"]}
        Forms$Events::logs | {"awslogs":{"data":"H4sI"}}
        Forms$Events::cloudFront | {"Records":[{"cf":{"config":{"distributionId":"d"},"request":{"clientIp":"1.2.3.4","method":"GET","uri":"/x","headers":{"host":[{"key":"Host","value":"h"}]}}}}]}
        Forms$Events::codeCommit | {"Records":[{"eventId":"i","eventVersion":"1.0","eventTime":"2024-02-29T10:00:00.000+0000","codecommit":{"references":[{"commit":"c","ref":"r","created":true}]}}]}
        Forms$Events::cognito | {"region":"r","datasetRecords":{"k":{"oldValue":"o","newValue":"n","op":"replace"}},"identityPoolId":"i","datasetName":"d","eventType":"SyncTrigger","version":2}
        Forms$Events::signUp | {"version":"1","triggerSource":"PreSignUp_SignUp","region":"r","userPoolId":"u","userName":"n","request":{"userAttributes":{"email":"e"},"validationData":null},"response":{"autoConfirmUser":false}}
        Forms$Events::config | {"version":"1.0","invokingEvent":"{}","ruleParameters":"{}","resultToken":"t","eventLeftScope":false,"executionRoleArn":"a","accountId":"1"}
        Forms$Events::connect | {"Name":"ContactFlowEvent","Details":{"ContactData":{"Attributes":{"a":"b"},"Channel":"VOICE","CustomerEndpoint":{"Address":"1","Type":"T"},"ContactId":"c"},"Parameters":{"p":"1"}}}
        Forms$Events::button | {"serialNumber":"s","clickType":"SINGLE","batteryVoltage":"1"}
        Forms$Events::lex | {"messageVersion":"1.0","invocationSource":"DialogCodeHook","userId":"u","sessionAttributes":{"k":"v"},"bot":{"name":"b","alias":"a","version":"1"},"currentIntent":{"name":"i","slots":{"s":"1"},"confirmationStatus":"None"}}
        Forms$Events::kafka | {"eventSource":"aws:kafka","eventSourceArn":"a","bootstrapServers":"b","records":{"t-0":[{"topic":"t","partition":0,"offset":15,"timestamp":1545084650987,"timestampType":"CREATE_TIME","key":"a","value":"SGVs","headers":[{"h":[1,2]}]}]}}
        Forms$Events::activeMq | {"eventSource":"aws:mq","eventSourceArn":"a","messages":[{"messageID":"m","messageType":"jms/text-message","deliveryMode":1,"timestamp":1,"brokerInTime":2,"data":"aGk=","destination":{"physicalName":"q"}}]}
        Forms$Events::rabbitMq | {"eventSource":"aws:rmq","eventSourceArn":"a","rmqMessagesByQueue":{"q::/":[{"basicProperties":{"contentType":"text/plain","headers":{"h":{"bytes":[1]}},"deliveryMode":1,"priority":34,"timestamp":"Jan 1, 1970, 12:33:41 AM","bodySize":80},"redelivered":false,"data":"aGk="}]}}
        Forms$Events::rotation | {"Step":"createSecret","SecretId":"s","ClientRequestToken":"t"}
        Forms$Events::resource | {"RequestType":"Create","ResponseURL":"u","StackId":"s","RequestId":"r","ResourceType":"Custom::X","LogicalResourceId":"l","ResourceProperties":{"ServiceToken":"t","List":["1"]}}
        Forms$Events::authorizer | {"version":"1.0","type":"REQUEST","methodArn":"m","path":"/x","httpMethod":"GET","headers":{"A":"b"},"requestContext":{"accountId":"1","identity":{"sourceIp":"1.2.3.4"}}}
        Forms$Events::simplePolicy | "v"
        Forms$Events::webSocket | {"requestContext":{"routeKey":"$connect","eventType":"CONNECT","connectionId":"c","connectedAt":1},"isBase64Encoded":false,"headers":{"Host":"h"}}
        Forms$Events::balancer | {"requestContext":{"elb":{"targetGroupArn":"t"}},"httpMethod":"GET","path":"/","queryStringParameters":{"b":"2","a":"1"},"isBase64Encoded":false}
        KotlinDefaulted | {"name":"k","count":2,"tags":["x"],"kind":"JAM"}
        KotlinDefaulted | {}
        KotlinDefaulted | {"name":null}
        KotlinStrict | {"name":"k","count":2}
        KotlinStrictAnswer | "x"
        KotlinNullable | {"a":null}
        KotlinNullable | {"a":[1]}
        KotlinUnit | "x"
        KotlinPair | [4,5]
        KotlinSubclass | "x"
        KotlinStream | "abc"
        KotlinObject | "x"
        KotlinMethods::greet | "k"
        KotlinMethods::twice | 4
        KotlinMethods::maybe | null
        KotlinMethods::unit | "x"
        KotlinMethods::later | "x"
        KotlinMethods::overloaded | "x"
        KotlinMethods::still | "x"
        ScalaOfBean | {"name":"s","count":2}
        ScalaOfCase | {"name":"s","count":2}
        ScalaOfMap | {"a":1}
        ScalaOption | "x"
        ScalaList | "x"
        ScalaStream | {"s":1}
        ScalaMethods::greet | "s"
        ScalaMethods::sum | [1,2]
        ScalaMethods::unit | "x"
        ScalaMethods::defaulted | "x"
        """)
    void answersAlike(String handler, String event) throws Exception {
        String name = "forms." + handler;
        assertEquals(HandlerOracleTest.published(name, event), HandlerOracleTest.ours(name, event));
    }

    /** As AWS's getting-started sample: what both clients answer alike is an answer, and no error of both. */
    @Test
    void recordsAnswer() {
        assertEquals("{\"id\":\"1\",\"items\":[{\"name\":\"a\",\"count\":2,\"kind\":\"TEA\"}],\"note\":null}",
                HandlerOracleTest.ours("forms.Forms$OfRecords", "{\"id\":\"1\",\"items\":[{\"name\":\"a\",\"count\":2,\"kind\":\"TEA\"}]}"));
        assertFalse(HandlerOracleTest.ours("forms.ScalaOfBean", "{\"name\":\"s\"}").contains("errorType"));
        assertFalse(HandlerOracleTest.ours("forms.KotlinDefaulted", "{\"name\":\"s\"}").contains("errorType"));
    }

    /** The published client leaves type variables open, or refuses the class; here they are resolved. */
    @Test
    void resolvesWhatThePublishedClientDoesNot() {
        assertEquals("5", HandlerOracleTest.ours("forms.Forms$Deep", "{\"a\":\"4\"}"));
        assertEquals("\"x\"", HandlerOracleTest.ours("forms.ScalaByTrait", "\"x\""));
    }
}
