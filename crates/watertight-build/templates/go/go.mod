module app/{{name}}

go 1.24
