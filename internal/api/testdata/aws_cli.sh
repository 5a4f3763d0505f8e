# What the AWS CLI does with nothing but an endpoint: sh aws_cli.sh ENDPOINT FOLDER
set -eu
cd "$2"
aws() { command aws --endpoint-url "$ENDPOINT" --region us-east-1 --output text lambda "$@"; }
ENDPOINT=$1
export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_MAX_ATTEMPTS=1 AWS_PAGER=
is() { # what, got, want
	[ "$2" = "$3" ] || { echo "$1: got '$2', want '$3'" >&2; exit 1; }
}

printf '{"a":1}' >in.json # both major versions of the CLI take a payload by fileb://
is create "$(aws create-function --function-name cli --runtime provided.al2023 --role arn:aws:iam::000000000000:role/r --handler echo \
	--zip-file fileb://function.zip --tags team=x --query '[FunctionName,Version]')" "cli	\$LATEST"
aws wait function-active-v2 --function-name cli
is get "$(aws get-function --function-name cli --query '[Configuration.State,Tags.team]')" "Active	x"
is list "$(aws list-functions --max-items 1 --query 'Functions[].FunctionName')" cli
is invoke "$(aws invoke --function-name cli --payload fileb://in.json --log-type Tail out.json --query '[StatusCode,ExecutedVersion]')" "200	\$LATEST"
is answer "$(cat out.json)" '{"a":1}'
is event "$(aws invoke --function-name cli --invocation-type Event --payload fileb://in.json out.json --query StatusCode)" 202
aws update-function-configuration --function-name cli --timeout 9 >/dev/null
aws wait function-updated-v2 --function-name cli
is update "$(aws update-function-code --function-name cli --zip-file fileb://function.zip --publish --query '[Timeout,Version]')" "9	1"
aws create-alias --function-name cli --name live --function-version 1 >/dev/null
is alias "$(aws invoke --function-name cli:live out.json --query ExecutedVersion)" 1
is reserve "$(aws put-function-concurrency --function-name cli --reserved-concurrent-executions 3)" 3
is url "$(aws create-function-url-config --function-name cli --auth-type NONE --query AuthType)" NONE
is account "$(aws get-account-settings --query AccountUsage.FunctionCount)" 1
if aws get-function --function-name none 2>error.txt; then echo "none is there" >&2; exit 1; fi
grep -q ResourceNotFoundException error.txt
aws delete-function --function-name cli >/dev/null
is deleted "$(aws list-functions --query 'length(Functions)')" 0
