package huawei

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"
	csms "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/csms/v1"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/csms/v1/model"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/csms/v1/region"
)

// client is made as the vendor's samples make it: a region, an access key, and
// no project, which the SDK looks up by the region's name.
func client(t *testing.T) *csms.CsmsClient {
	t.Helper()
	credentials, err := basic.NewCredentialsBuilder().
		WithAk(os.Getenv("CLOUD_SDK_AK")).
		WithSk(os.Getenv("CLOUD_SDK_SK")).
		SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	at, err := region.SafeValueOf("cn-north-4")
	if err != nil {
		t.Fatal(err)
	}
	hc, err := csms.CsmsClientBuilder().WithRegion(at).WithCredential(credentials).SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	return csms.NewCsmsClient(hc)
}

// wantFault asserts the code, status, message and request ID that the SDK
// found in an answer.
func wantFault(t *testing.T, err error, status int, code string) {
	t.Helper()
	var e *sdkerr.ServiceResponseError
	if !errors.As(err, &e) {
		t.Fatalf("error %v, want a %s", err, code)
	}
	if e.StatusCode != status || e.ErrorCode != code || e.ErrorMessage == "" || e.RequestId == "" {
		t.Errorf("got %d %s %q, request %q; want %d %s with a message and a request ID",
			e.StatusCode, e.ErrorCode, e.ErrorMessage, e.RequestId, status, code)
	}
}

// fresh is the name of a secret that is not there, and goes when the test ends.
func fresh(t *testing.T, c *csms.CsmsClient, name string) string {
	t.Helper()
	remove := func() error {
		_, err := c.DeleteSecret(&model.DeleteSecretRequest{SecretName: name})
		return err
	}
	var e *sdkerr.ServiceResponseError
	if err := remove(); err != nil && (!errors.As(err, &e) || e.StatusCode != 404) {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := remove(); err != nil && (!errors.As(err, &e) || e.StatusCode != 404) {
			t.Errorf("remove %s: %v", name, err)
		}
	})
	return name
}

// The samples of the two manual pages, with the values that they print:
// CreateSecret, whose master key nobody has made before, then
// CreateSecretVersion, with the secret's name that its sample forgets.
func TestSamplesOfTheManual(t *testing.T) {
	c := client(t)
	name := fresh(t, c, "demo")
	const keyID = "0d0466b0-e727-4d9c-b35d-f84bb474a37f"

	text, id := "this is a demo secret string", keyID
	created, err := c.CreateSecret(&model.CreateSecretRequest{Body: &model.CreateSecretRequestBody{
		Name: name, KmsKeyId: &id, SecretString: &text,
	}})
	if err != nil {
		t.Fatal(err)
	}
	if s := created.Secret; created.HttpStatusCode != 200 || *s.Name != name || *s.KmsKeyId != keyID || *s.State != "ENABLED" {
		t.Errorf("created %v", created)
	}
	if s := created.Secret; s.CreateTime == nil || time.Since(time.UnixMilli(*s.CreateTime)).Abs() > time.Minute {
		t.Errorf("create_time %v is not now in milliseconds", s.CreateTime)
	}

	stages := []string{"test"}
	added, err := c.CreateSecretVersion(&model.CreateSecretVersionRequest{SecretName: name, Body: &model.CreateSecretVersionRequestBody{
		SecretString: &text, VersionStages: &stages,
	}})
	if err != nil {
		t.Fatal(err)
	}
	if m := added.VersionMetadata; added.HttpStatusCode != 200 || *m.Id != "v2" || *m.SecretName != name || !slices.Equal(*m.VersionStages, stages) {
		t.Errorf("added %v", added)
	}
}

// The second page's sample as it is: no name, so an empty segment in the path.
// The answer must be an error that the SDK can read, not a redirect.
func TestSampleWithoutTheName(t *testing.T) {
	text := "this is a demo secret string"
	_, err := client(t).CreateSecretVersion(&model.CreateSecretVersionRequest{
		Body: &model.CreateSecretVersionRequestBody{SecretString: &text},
	})
	wantFault(t, err, 400, "CSMS.0003")
}

func TestSecretThroughItsLife(t *testing.T) {
	c := client(t)
	name := fresh(t, c, "conformance-life")
	text := "<a&b> \"é\" 中 \u0000 \n"
	description := "first"
	if _, err := c.CreateSecret(&model.CreateSecretRequest{Body: &model.CreateSecretRequestBody{
		Name: name, SecretString: &text, Description: &description,
	}}); err != nil {
		t.Fatal(err)
	}
	_, err := c.CreateSecret(&model.CreateSecretRequest{Body: &model.CreateSecretRequestBody{Name: name, SecretString: &text}})
	wantFault(t, err, 409, "CSMS.0101")

	shown, err := c.ShowSecret(&model.ShowSecretRequest{SecretName: name})
	if err != nil {
		t.Fatal(err)
	}
	if *shown.Secret.Description != "first" || *shown.Secret.AutoRotation || len(*shown.Secret.EventSubscriptions) != 0 {
		t.Errorf("shown %v", shown)
	}
	description = "second"
	updated, err := c.UpdateSecret(&model.UpdateSecretRequest{SecretName: name, Body: &model.UpdateSecretRequestBody{Description: &description}})
	if err != nil {
		t.Fatal(err)
	}
	if *updated.Secret.Description != "second" || *updated.Secret.CreateTime != *shown.Secret.CreateTime {
		t.Errorf("updated %v", updated)
	}

	versionsAndStages(t, c, name, text)

	gone, err := c.DeleteSecret(&model.DeleteSecretRequest{SecretName: name})
	if err != nil || gone.HttpStatusCode != 200 {
		t.Fatalf("%v %v", gone, err)
	}
	_, err = c.ShowSecret(&model.ShowSecretRequest{SecretName: name})
	wantFault(t, err, 404, "CSMS.0106")
}

// versionsAndStages expects a secret with one version, which is text.
func versionsAndStages(t *testing.T, c *csms.CsmsClient, name, text string) {
	t.Helper()
	read := func(version string) *model.Version {
		t.Helper()
		got, err := c.ShowSecretVersion(&model.ShowSecretVersionRequest{SecretName: name, VersionId: version})
		if err != nil {
			t.Fatal(err)
		}
		return got.Version
	}
	if v := read("v1"); v.SecretString == nil || *v.SecretString != text || v.SecretBinary != nil {
		t.Errorf("v1 is %v", v)
	}
	binary := base64.StdEncoding.EncodeToString([]byte{0, 1, 2, 0xff})
	expire := time.Now().Add(time.Hour).Unix() * 1000
	added, err := c.CreateSecretVersion(&model.CreateSecretVersionRequest{SecretName: name, Body: &model.CreateSecretVersionRequestBody{
		SecretBinary: &binary, ExpireTime: &expire,
	}})
	if err != nil {
		t.Fatal(err)
	}
	if m := added.VersionMetadata; *m.Id != "v2" || !slices.Equal(*m.VersionStages, []string{"SYSCURRENT"}) || *m.ExpireTime != expire {
		t.Errorf("added %v", added)
	}
	if v := read("latest"); v.SecretBinary == nil || *v.SecretBinary != binary || v.SecretString != nil {
		t.Errorf("latest is %v", v)
	}

	listed, err := c.ListSecretVersions(&model.ListSecretVersionsRequest{SecretName: name})
	if err != nil {
		t.Fatal(err)
	}
	if m := *listed.VersionMetadatas; len(m) != 2 || *m[0].Id != "v1" || !slices.Equal(*m[0].VersionStages, []string{"SYSPREVIOUS"}) {
		t.Errorf("listed %v", listed)
	}

	if _, err := c.UpdateSecretStage(&model.UpdateSecretStageRequest{SecretName: name, StageName: "blue",
		Body: &model.UpdateSecretStageRequestBody{VersionId: "v1"}}); err != nil {
		t.Fatal(err)
	}
	stage, err := c.ShowSecretStage(&model.ShowSecretStageRequest{SecretName: name, StageName: "blue"})
	if err != nil {
		t.Fatal(err)
	}
	if *stage.Stage.VersionId != "v1" || *stage.Stage.SecretName != name {
		t.Errorf("stage %v", stage)
	}
	dropped, err := c.DeleteSecretStage(&model.DeleteSecretStageRequest{SecretName: name, StageName: "blue"})
	if err != nil || dropped.HttpStatusCode != 204 {
		t.Errorf("%v %v", dropped, err)
	}
	_, err = c.DeleteSecretStage(&model.DeleteSecretStageRequest{SecretName: name, StageName: "SYSCURRENT"})
	wantFault(t, err, 400, "CSMS.0105")
	_, err = c.ShowSecretVersion(&model.ShowSecretVersionRequest{SecretName: name, VersionId: "v99"})
	wantFault(t, err, 404, "CSMS.0005")

	expire += 60_000
	later, err := c.UpdateVersion(&model.UpdateVersionRequest{SecretName: name, VersionId: "v2",
		Body: &model.UpdateVersionRequestBody{ExpireTime: expire}})
	if err != nil {
		t.Fatal(err)
	}
	if *later.VersionMetadata.ExpireTime != expire {
		t.Errorf("expires %v", later)
	}
}

func TestListPages(t *testing.T) {
	c := client(t)
	text := "x"
	var want []string
	for i := range 5 {
		name := fresh(t, c, fmt.Sprintf("conformance-page-%d", i))
		if _, err := c.CreateSecret(&model.CreateSecretRequest{Body: &model.CreateSecretRequestBody{Name: name, SecretString: &text}}); err != nil {
			t.Fatal(err)
		}
		want = append(want, name)
	}
	var got []string
	limit, marker := "2", "" // the SDK sends an empty marker for the first page
	for range 1000 {
		page, err := c.ListSecrets(&model.ListSecretsRequest{Limit: &limit, Marker: &marker})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range *page.Secrets {
			if strings.HasPrefix(*s.Name, "conformance-page-") {
				got = append(got, *s.Name)
			}
		}
		if page.PageInfo.NextMarker == nil {
			break
		}
		marker = *page.PageInfo.NextMarker
	}
	if !slices.Equal(got, want) {
		t.Errorf("paged %v, want %v", got, want)
	}
}

func TestWrongSecretKeyIsRefused(t *testing.T) {
	credentials, err := basic.NewCredentialsBuilder().
		WithAk(os.Getenv("CLOUD_SDK_AK")).
		WithSk(os.Getenv("CLOUD_SDK_SK") + "x").
		WithProjectId(os.Getenv("OS_PROJECT_ID")).
		SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	hc, err := csms.CsmsClientBuilder().
		WithEndpoint(os.Getenv("HUAWEICLOUD_SDK_REGION_CSMS_CN_NORTH_4")).
		WithCredential(credentials).SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	_, err = csms.NewCsmsClient(hc).ListSecrets(&model.ListSecretsRequest{})
	wantFault(t, err, 401, "APIGW.0301")
}
