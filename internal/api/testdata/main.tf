# One function with all that usually comes with it, by the real AWS provider.
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

variable "endpoint" {}
variable "timeout" { default = 5 }
variable "archive" {}

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
  endpoints { lambda = var.endpoint }
}

resource "aws_lambda_function" "f" {
  function_name    = "terraformed"
  role             = "arn:aws:iam::000000000000:role/r"
  runtime          = "provided.al2023"
  handler          = "echo"
  filename         = var.archive
  source_code_hash = filebase64sha256(var.archive)
  timeout          = var.timeout
  memory_size      = 256
  publish          = true
  description      = "by Terraform"
  environment { variables = { STAGE = "test" } }
  ephemeral_storage { size = 1024 }
  tags                           = { team = "x" }
  reserved_concurrent_executions = 5
}

resource "aws_lambda_alias" "live" {
  name             = "live"
  function_name    = aws_lambda_function.f.function_name
  function_version = aws_lambda_function.f.version
}

resource "aws_lambda_function_url" "u" {
  function_name      = aws_lambda_function.f.function_name
  qualifier          = aws_lambda_alias.live.name
  authorization_type = "NONE"
  cors {
    allow_origins = ["*"]
    max_age       = 60
  }
}

resource "aws_lambda_function_event_invoke_config" "e" {
  function_name                = aws_lambda_function.f.function_name
  maximum_retry_attempts       = 1
  maximum_event_age_in_seconds = 120
}

resource "aws_lambda_permission" "p" {
  statement_id  = "s3"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.f.function_name
  principal     = "s3.amazonaws.com"
  source_arn    = "arn:aws:s3:::bucket"
}

output "version" { value = aws_lambda_function.f.version }
output "url" { value = aws_lambda_function_url.u.function_url }
