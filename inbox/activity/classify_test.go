package activity_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/sealgate/sealgate/inbox/activity"
)

// class names what Parse makes of a body.
func class(body string, l activity.Limits) string {
	_, err := activity.Parse([]byte(body), l)
	switch {
	case err == nil:
		return "mls"
	case errors.Is(err, activity.ErrNotMLS):
		return "other"
	case errors.Is(err, activity.ErrMalformed):
		return "malformed"
	}
	return "bug: " + err.Error()
}

func expect(t *testing.T, want string, bodies ...string) {
	t.Helper()
	for _, body := range bodies {
		if got := class(body, limits); got != want {
			_, err := activity.Parse([]byte(body), limits)
			t.Errorf("%.300q: %s (%v), want %s", body, got, err, want)
		}
	}
}

func TestSpellingsOfMLS(t *testing.T) {
	const c = `,"content":"AAEC"}`
	expect(
		t, "mls",
		with(`{"type":"PublicMessage"`+c), with(`{"type":"PrivateMessage"`+c), with(`{"type":"Welcome"`+c),
		with(`{"type":"GroupInfo"`+c), with(`{"type":"KeyPackage"`+c),
		with(`{"type":["Note","PrivateMessage"]`+c),
		with(`{"type":[["PrivateMessage"]]`+c),
		with(`{"@type":"mls:Welcome"`+c),
		with(`{"@type":["https://purl.archive.org/socialweb/mls#Welcome"]`+c),
		with(`{"type":"http://purl.archive.org/socialweb/mls#Welcome"`+c),
		with(`{"type":"as:Welcome"`+c),
		with(`{"as:type":"Welcome"`+c),
		with(`{"type":{"@value":"Welcome"}`+c), with(`{"type":{"@id":"mls:Welcome"}`+c), with(`{"type":[{"id":"Welcome"}]`+c),
		with(`{"t\u0079pe":"W\u0065lcome"`+c), with(`{"\u0040type":"\u0057\u0065\u006c\u0063\u006f\u006d\u0065"`+c),
		with(`{"type":"Note","mediaType":"message/mls"`+c),
		with(`{"mediaType":"message\/mls"`+c), with(`{"mediaType":"\u006dessage/mls"`+c), with(`{"mediaType":"message\u002fml\u0073"`+c),
		with(`{"mediaType":" MESSAGE/Mls ; charset=\"x\""`+c), with(`{"mediaType":["message/mls"]`+c),
		with(`{"mls:mediaType":"message/mls"`+c), with(`{"as:mediaType":{"@value":"message/mls"}`+c),
		with(`{"https://www.w3.org/ns/activitystreams#mediaType":[{"@value":"message/mls"}]`+c),
		strings.Replace(with(`{"type":"Welcome"`+c), `"object"`, `"\u006fbject"`, 1),
		strings.Replace(with(`{"type":"Welcome"`+c), `"object"`, `"as:object"`, 1),
		"["+with(`{"type":"Welcome"`+c)+"]",
		`{"@context":"x","@graph":[`+with(`{"type":"Welcome"`+c)+`]}`,
		"\xef\xbb\xbf \r\n\t"+with(`{"type":"Welcome"`+c)+"\n",
		with(`{"type":"Welcome","summary":"\ud83c\udf3d cut \ud83c"`+c),
		with(`{"type":"Welcome","encoding":"mls:base64"`+c), with(`{"type":"Welcome","encoding":"BASE64"`+c),
	)
}

func TestWhatIsNotMLS(t *testing.T) {
	expect(
		t, "other",
		"", " ", "{", "null", "\x00", "\xff\xfe", `"`, `"\`, `\`, `\u`, "/", "/ml", `[[[[`, `{"a":`,
		`{"type":"Create"`, "garbage", "\xef\xbb\xbf", "{}{}", `{"a":1,"a":2}`, "<html>",
		with(`{"type":"Note","content":"we speak message/mls here"}`),
		with(`{"type":"Note","content":"PrivateMessage"}`),
		with(`{"type":"Note","name":"Welcome","tag":[{"type":"KeyPackage","mediaType":"message/mls"}]}`),
		with(`{"type":"Note","attachment":[{"mediaType":"message/mls"}]}`),
		with(`{"type":"Note","type":"Article","name":"Welcome"}`),
		with(`{"type":"https://other.example/ns#Welcome"}`), with(`{"type":"welcome"}`), with(`{"type":"ex:Welcome"}`),
		with(`{"mediaType":"message/mls2"}`), with(`{"mediaType":"x-message/mls"}`), with(`{"mediaType":"application/json; x=message/mls"}`),
		with(`"message/mls"`), with(`["Welcome",{"type":"Note"}]`), with(`{"type":{"name":"Welcome"}}`),
		with(`{"type":"Note","name":"Welcome","x":`+strings.Repeat("[", 100_000)+strings.Repeat("]", 100_000)+"}"),
		with(`{"type":"Note","content":"`+strings.Repeat("x", 1<<20)),
		`{"type":"Delete","actor":"a","object":"https://a.example/keyPackages/1"}`,
	)
}

func TestBrokenBodiesThatMentionMLS(t *testing.T) {
	whole := with(`{"type":"Welcome","mediaType":"message/mls","content":"AAEC"}`)
	expect(
		t, "malformed",
		whole[:len(whole)-1], whole[:strings.Index(whole, "mls")+4], whole+"x", whole+whole,
		"message/mls", `{"a":"m\u0065ssage\/mls`, `\m\e\s\s\a\g\e/\m\l\s`, "MESSAGE/MLS", `["Welcome"`, `x"KeyPackage"`,
		`{"type":/**/"Welcome"}`, `{"type":"\Welcome"}`, `{"type":"We\lcome",}`, `// \" "`+"\n"+whole,
		`{'type':"Welcome"}`, `{"type":"Welcome","x":01}`, `{"type":"Welcome","x":NaN}`, `{"type":"Welcome","x":"`+"\x01"+`"}`,
		strings.Repeat("[", 1<<19)+`"Welcome"`,
		`\u003\u006dessage/mls`, `\u00\u006dessage/mls`, `\\u\message/mls`, `"\u003x\u006dessage\/m\u006Cs`,
	)
	expect(t, "malformed", utf16Bytes(whole, false), utf16Bytes(whole, true), utf16Bytes("\ufeff"+whole, true), utf32Bytes(whole))
}

func utf16Bytes(s string, big bool) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		if big {
			u = u<<8 | u>>8
		}
		b = append(b, byte(u), byte(u>>8))
	}
	return string(b)
}

func utf32Bytes(s string) string {
	var b []byte
	for _, r := range s {
		b = append(b, 0, byte(r>>16), byte(r>>8), byte(r))
	}
	return string(b)
}

func TestMalformedMLS(t *testing.T) {
	const c = `,"content":"AAEC"}`
	w := with(`{"type":"Welcome"` + c)
	expect(
		t, "malformed",
		`{"type":"Welcome","actor":"a","content":"AAEC"}`, `[`+w+`,`+w+`]`, `{"@graph":[]`+w[1:],
		strings.Replace(w, `"type":"Create",`, "", 1), strings.Replace(w, `"actor"`, `"actress"`, 1),
		strings.Replace(w, `"actor"`, `"actor":["a","b"],"x"`, 1), strings.Replace(w, `"actor":`, `"actor":7,"x":`, 1),
		strings.Replace(w, `"id"`, `"id":true,"x"`, 1), strings.Replace(w, `"to"`, `"to":[1],"x"`, 1),
		strings.Replace(w, `alice`, `ali\ud800ce`, 1), strings.Replace(w, `alice`, "ali\xffce", 1),
		// any reading counts, and no other reading may exist
		with(`{"type":"Note","type":"Welcome"`+c), with(`{"type":"Welcome","type":"Note"`+c),
		with(`{"type":"Note"},"object":{"type":"Welcome"`+c), with(`{"type":"Welcome"`+c+`,"object":{"type":"Note"}`),
		strings.Replace(w, `"actor"`, `"\u0061ctor":"b","actor"`, 1), strings.Replace(w, `"actor"`, `"as:actor":"b","actor"`, 1),
		strings.Replace(w, `"actor"`, `"x":{"y":1,"y":1},"actor"`, 1),
		with(`{"type":"Welcome","@type":"Note"`+c),
		// content
		with(`{"type":"Welcome","content":""}`), with(`{"type":"Welcome","content":null}`), with(`{"type":"Welcome","content":7}`),
		with(`{"type":"Welcome","content":"A"}`), with(`{"type":"Welcome","content":"AA=A"}`), with(`{"type":"Welcome","content":"AAE=="}`),
		with(`{"type":"Welcome","content":"AAF"}`), with(`{"type":"Welcome","content":"%%%%"}`), with(`{"type":"Welcome","content":["AAEC","AAEC"]}`),
		with(`{"type":"Welcome","encoding":"base64url"`+c), with(`{"type":"Welcome","mediaType":"text/plain"`+c),
		with(`{"mediaType":["message/mls","text/plain"]`+c),
	)
}

func TestLimitsBindOnlyMLS(t *testing.T) {
	deep := strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)
	many := strings.Repeat(`{"a":1},`, 2000) + "0"
	long := strings.Repeat("0,", 1<<17) + "0"
	f := func(x, want string) {
		t.Helper()
		_, err := activity.Parse([]byte(with(`{"type":"Welcome","content":"AAEC","x":[`+x+`]}`)), limits)
		if !errors.Is(err, activity.ErrMalformed) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		expect(t, "other", with(`{"type":"Note","name":"Welcome","x":[`+x+`]}`))
	}
	f(deep, "limits.json_depth")
	f(many, "limits.json_keys")
	f(long, "values")

	welcome := with(`{"type":"Welcome","content":"AAEC","x":[[[[]]]]}`)
	for depth, want := range map[int]string{0: "mls", 5: "malformed", 6: "mls", 1000: "mls"} {
		if got := class(welcome, activity.Limits{Depth: depth}); got != want {
			t.Errorf("depth %d: %s, want %s", depth, got, want)
		}
	}
	for keys, want := range map[int]string{0: "mls", 8: "malformed", 9: "mls"} {
		if got := class(welcome, activity.Limits{Keys: keys}); got != want {
			t.Errorf("keys %d: %s, want %s", keys, got, want)
		}
	}
	expect(t, "malformed", with(`{"type":"Welcome","content":"AAEC","x":`+strings.Repeat("[", 300)+strings.Repeat("]", 300)+`}`))
}

// TestDialects reads what the clients and servers in the field send.
func TestDialects(t *testing.T) {
	files, err := filepath.Glob("testdata/dialects/*.json")
	if err != nil || len(files) < 6 {
		t.Fatalf("dialects: %d files, %v", len(files), err)
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		a, err := activity.Parse(body, limits)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		o := a.Objects[0]
		if a.Type != "Create" || o.AttributedTo != a.Actor || len(o.Content) < 4 || len(a.To) == 0 {
			t.Errorf("%s: %+v", file, a)
		}
	}
}
