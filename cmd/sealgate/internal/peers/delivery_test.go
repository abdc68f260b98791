package peers_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sealgate/sealgate/inbox/mls"
)

type delivered struct {
	Status int
	Body   string
	Sent   string // what the bot's own serialiser made of the activity
}

// sealed is a PrivateMessage that ts-mls wrote, in base64.
func sealed(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(rootDir, "inbox", "mls", "testdata", "ts-mls.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Vectors []struct {
			WireFormat string `json:"wire_format"`
			Hex        string
		}
	}
	decode(t, b, &file)
	for _, v := range file.Vectors {
		if v.WireFormat == "private_message" {
			raw, err := hex.DecodeString(v.Hex)
			if err != nil {
				t.Fatal(err)
			}
			m, err := mls.Parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			if m.Kind() == mls.KindApplication { // a second commit for one epoch would be refused
				return base64.StdEncoding.EncodeToString(raw)
			}
		}
	}
	t.Fatal("no PrivateMessage of an application among the vectors")
	return ""
}

// create is a Create as a peer might spell it: the gateway must keep every
// byte, so it has what a re-encoder would lose.
func create(t *testing.T, id, actor, to string) string {
	t.Helper()
	return fmt.Sprintf(`{"@context":["https://www.w3.org/ns/activitystreams",`+
		`{"mls":"https://purl.archive.org/socialweb/mls#","PrivateMessage":"mls:PrivateMessage","encoding":"mls:encoding"}],`+
		` "type":"Create","id":"%[1]s", "actor":"%[2]s","to":["%[3]s"],"unknown":[1.0,1e2,"\u00e9\/"],`+"\n"+
		`"object":{"type":["Object","PrivateMessage"],"attributedTo":"%[2]s","to":"%[3]s","id":"%[1]s#object",`+
		`"mediaType":"message\/mls","encoding":"base64","content":"%[4]s"}}`, id, actor, to, sealed(t))
}

// keeps tells whether bob's messages hold exactly these bytes, once.
func keeps(t *testing.T, kept []jsonBytes, body string) bool {
	t.Helper()
	var found int
	for _, activity := range kept {
		if bytes.Equal(activity, []byte(body)) {
			found++
		}
	}
	if found > 1 {
		t.Errorf("kept %d times: %s", found, body)
	}
	return found > 0
}

func (w *world) fedifyDelivers(t *testing.T) {
	token := w.snac.token(t, w.base, "bob")
	host := strings.TrimSuffix(w.alice.Actor, "/users/alice")
	activity := func(name string) string { return create(t, host+"/activities/"+name, w.alice.Actor, w.actor("bob")) }
	post := func(t *testing.T, a args) int {
		t.Helper()
		if a["inbox"] == nil {
			a["inbox"] = w.actor("bob") + "/inbox"
		}
		var d delivered
		w.fedify.call(t, "deliver", a, &d)
		t.Logf("%d %s", d.Status, d.Body)
		return d.Status
	}
	for _, scheme := range []string{"rfc9421", "cavage"} {
		good := activity(scheme)
		tampered := strings.Replace(good, `"content":"AAE`, `"content":"AAF`, 1)
		if tampered == good {
			t.Fatal("nothing was tampered with")
		}
		anothers := create(t, host+"/activities/anothers", w.robot.Actor, w.actor("bob"))
		facts := []struct {
			what   string
			args   args
			status int
			kept   string
			want   bool
		}{
			{"tampered", args{"body": good, "send": tampered}, http.StatusUnauthorized, tampered, false},
			{"signed with a key of nobody", args{"body": good, "key": host + "/users/nobody#main-key"}, http.StatusUnauthorized, good, false},
			{"signed in the name of another host's key", args{"body": good, "key": w.robot.Key}, http.StatusUnauthorized, good, false},
			{"another's activity", args{"body": anothers}, http.StatusForbidden, anothers, false},
			{"good", args{"body": good}, http.StatusAccepted, good, true},
			{"redelivered", args{"body": good}, http.StatusAccepted, good, true},
			{"to the shared inbox", args{"body": activity(scheme + "-shared"), "inbox": w.base + "/shared-inbox"}, http.StatusAccepted, activity(scheme + "-shared"), true},
			{"to a spelling of the inbox", args{"body": activity(scheme + "-spelt"), "inbox": w.base + "/bob/%69nbox/?x=1"}, http.StatusAccepted, activity(scheme + "-spelt"), true},
		}
		for _, f := range facts {
			t.Run(scheme+" "+f.what, func(t *testing.T) {
				f.args["scheme"] = scheme
				if status := post(t, f.args); status != f.status {
					t.Errorf("answered %d, want %d", status, f.status)
				}
				if kept := keeps(t, messages(t, w.base, "bob", token), f.kept); kept != f.want {
					t.Errorf("kept: %t, want %t", kept, f.want)
				}
			})
		}
	}
	w.nothingPassed(t)
	w.ownerOnly(t)
}

func (w *world) botDelivers(t *testing.T) {
	token := w.snac.token(t, w.base, "ivy")
	inbox := w.actor("ivy") + "/inbox"
	activity := func(name string) string {
		return create(t, w.robot.Actor+"/create/"+name, w.robot.Actor, w.actor("ivy"))
	}

	t.Run("its own way", func(t *testing.T) {
		var d delivered
		w.bot.call(t, "deliver", args{"inbox": inbox, "body": activity("own")}, &d)
		if d.Status != http.StatusAccepted {
			t.Fatalf("answered %d %s", d.Status, d.Body)
		}
		if !keeps(t, messages(t, w.base, "ivy", token), d.Sent) {
			t.Errorf("not kept as sent: %s", d.Sent)
		}
	})
	for _, scheme := range []string{"rfc9421", "cavage"} {
		good := activity(scheme)
		for _, f := range []struct {
			what   string
			send   string
			status int
		}{
			{"tampered", strings.Replace(good, `"content":"AAE`, `"content":"AAF`, 1), http.StatusUnauthorized},
			{"good", good, http.StatusAccepted},
		} {
			t.Run(scheme+" "+f.what, func(t *testing.T) {
				var d delivered
				w.bot.call(t, "post", args{"inbox": inbox, "scheme": scheme, "body": good, "send": f.send}, &d)
				if d.Status != f.status {
					t.Errorf("answered %d %s, want %d", d.Status, d.Body, f.status)
				}
				kept := keeps(t, messages(t, w.base, "ivy", token), f.send)
				if kept != (f.status == http.StatusAccepted) {
					t.Errorf("kept: %t", kept)
				}
			})
		}
	}
	w.nothingPassed(t)
}

// nothingPassed holds what the tap saw of the way to the instance against
// every spelling the deliveries used.
func (w *world) nothingPassed(t *testing.T) {
	t.Helper()
	for _, mark := range []string{`message/mls`, `message\/mls`, `PrivateMessage`, sealed(t)[:40]} {
		if strings.Contains(w.tap.sent.String(), mark) {
			t.Errorf("%q went to the instance", mark)
		}
	}
}

// ownerOnly: bob's messages are 404 to others of the instance, 401 to nobody.
func (w *world) ownerOnly(t *testing.T) {
	t.Helper()
	address := w.base + "/e2ee/users/bob/messages"
	if answer := get(t, address, w.snac.token(t, w.base, "ivy")); answer.status != http.StatusNotFound {
		t.Errorf("to ivy: %d %s", answer.status, answer.body)
	}
	if answer := get(t, address, ""); answer.status != http.StatusUnauthorized {
		t.Errorf("to nobody: %d %s", answer.status, answer.body)
	}
	if answer := get(t, address, "made-up"); answer.status != http.StatusUnauthorized || !json.Valid(answer.body) {
		t.Errorf("to a made-up token: %d %s", answer.status, answer.body)
	}
}
