# What the AWS CLI does with a Java function that really runs: sh real_cli.sh ENDPOINT FOLDER
set -eu
ENDPOINT=$1
cd "$2"
export AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=x AWS_MAX_ATTEMPTS=1 AWS_PAGER=
aws() { command aws --endpoint-url "$ENDPOINT" --region us-east-1 --output text lambda "$@"; }
is() { # what, got, want
	[ "$2" = "$3" ] || { echo "$1: got '$2', want '$3'" >&2; exit 1; }
}
printf '{"id":"c1"}' >event.json
printf '{"id":"c2","do":"fail"}' >fail.json
aws create-function --function-name cli --runtime java21 --handler Greeter::handle --memory-size 256 --timeout 20 \
	--role arn:aws:iam::000000000000:role/any --environment 'Variables={TAG=cli}' --zip-file fileb://greeter.jar >/dev/null
aws wait function-active-v2 --function-name cli
aws invoke --function-name cli --payload fileb://event.json --log-type Tail --query LogResult answer.json | base64 -d >log.txt
is answer "$(python3 -c 'import json; d = json.load(open("answer.json")); print(d["id"], d["tag"])')" "c1 cli"
grep -q '^REPORT .*Max Memory Used: .*Init Duration: ' log.txt
is error "$(aws invoke --function-name cli --payload fileb://fail.json --query FunctionError answer.json)" Unhandled
grep -q 'java.lang.IllegalStateException' answer.json
aws update-function-code --function-name cli --zip-file fileb://greeter.jar >/dev/null
aws wait function-updated-v2 --function-name cli
aws delete-function --function-name cli >/dev/null
if aws invoke --function-name cli answer.json 2>error.txt; then echo "it is still there" >&2; exit 1; fi
grep -q ResourceNotFoundException error.txt
