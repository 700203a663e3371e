package main

import (
	"os"
	"strconv"
	"strings"

	"github.com/google/renameio/v2"
)

// variable is one line of env.sh.
type variable struct{ name, value string }

// variables are what the clients' own manuals ask for (DESIGN §8). The Huawei
// SDK finds a service by region, and its sample's region is cn-north-4.
func (d *devServer) variables() []variable {
	csms := "http://" + d.addr("csms")
	return append(d.caller(), []variable{
		{"KEY_MANAGER_URL", "http://" + d.addr("key-manager")},
		{"CSMS_URL", csms},
		{"STRONGROOM_ADMIN_URL", "http://" + d.addr("admin")},
		{"CLOUD_SDK_AK", d.demo.AccessKey},
		{"CLOUD_SDK_SK", d.demo.SecretKey},
		{"HUAWEICLOUD_SDK_REGION_CSMS_CN_NORTH_4", csms},
		{"HUAWEICLOUD_SDK_REGION_KMS_CN_NORTH_4", csms},
		{"HUAWEICLOUD_SDK_IAM_ENDPOINT", "https://" + d.addr("identity-tls")},
		{"SSL_CERT_DIR", d.tls.authorities},
		{"DATABASE_URL", d.databaseURL},
		{"STRONGROOM_PID", strconv.Itoa(os.Getpid())},
	}...)
}

// caller is whom OpenStack's clients take themselves for. Beside a Keystone
// that is for the user to say.
func (d *devServer) caller() []variable {
	common := []variable{
		{"OS_IDENTITY_API_VERSION", "3"},
		{"OS_USER_DOMAIN_NAME", "Default"},
		{"OS_PROJECT_DOMAIN_NAME", "Default"},
	}
	if d.keystoneURL != "" {
		return append(common, variable{"OS_AUTH_URL", d.keystoneURL + "/v3"})
	}
	return append(common, []variable{
		{"OS_AUTH_URL", "http://" + d.addr("identity") + "/v3"},
		{"OS_USERNAME", d.demo.Name},
		{"OS_PASSWORD", d.demo.Password},
		{"OS_PROJECT_NAME", d.demo.Project},
		{"OS_PROJECT_ID", string(d.projectID)},
		{"OS_REGION_NAME", devRegion},
	}...)
}

// writeEnv writes the variables for a shell to source.
func writeEnv(file string, vars []variable) error {
	var b strings.Builder
	b.WriteString("# For this run of strongroom dev: source it.\n")
	for _, v := range vars {
		b.WriteString("export " + v.name + "=" + quoted(v.value) + "\n")
	}
	return renameio.WriteFile(file, []byte(b.String()), 0o600)
}

// quoted is one word to a POSIX shell, whatever it holds.
func quoted(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
