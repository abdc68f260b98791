package signature

import (
	"maps"
	"net/http"
	"slices"
	"time"
)

// FromHTTP is the view of a net/http request, incoming or outgoing, whose body
// is body. It shares body; the header is copied.
func FromHTTP(req *http.Request, body []byte) *Request {
	r := &Request{
		Method: req.Method, Target: req.RequestURI, Host: req.Host, Scheme: req.URL.Scheme, Body: body,
	}
	if r.Method == "" {
		r.Method = http.MethodGet
	}
	if r.Target == "" { // outgoing
		r.Target = req.URL.RequestURI()
	}
	if r.Host == "" {
		r.Host = req.URL.Host
	}
	for _, name := range slices.Sorted(maps.Keys(req.Header)) {
		for _, v := range req.Header[name] {
			r.Header = append(r.Header, Field{name, v})
		}
	}
	return r
}

// SignHTTP signs an outgoing request whose body is body, replacing a signature
// that it may carry already.
func SignHTTP(req *http.Request, body []byte, s Signer, now time.Time) error {
	for _, name := range []string{"Signature", "Signature-Input", "Date", "Digest", "Content-Digest"} {
		req.Header.Del(name)
	}
	fields, err := Sign(FromHTTP(req, body), s, now)
	if err != nil {
		return err
	}
	for _, f := range fields {
		req.Header.Set(f.Name, f.Value)
	}
	return nil
}
