package relay

import (
	"bytes"
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/policy/oauth"
)

// oauthMetadata is RFC 8414, with RFC 9207 and Client ID Metadata Documents.
func (r *Relay) oauthMetadata(ctx *fasthttp.RequestCtx) {
	if !r.only(ctx, "GET, HEAD") {
		return
	}
	body := jsonOf(map[string]any{
		"issuer":                                         r.signIn.server.Issuer(),
		"authorization_endpoint":                         r.base + authorizePath,
		"token_endpoint":                                 r.base + tokenPath,
		"revocation_endpoint":                            r.base + revokePath,
		"scopes_supported":                               oauth.Scopes(),
		"response_types_supported":                       []string{"code"},
		"response_modes_supported":                       []string{"query"},
		"grant_types_supported":                          []string{"authorization_code", "refresh_token"},
		"token_endpoint_auth_methods_supported":          []string{"none"},
		"revocation_endpoint_auth_methods_supported":     []string{"none"},
		"code_challenge_methods_supported":               []string{"S256"},
		"authorization_response_iss_parameter_supported": true,
		"client_id_metadata_document_supported":          true,
	})
	write(ctx, reply{status: fasthttp.StatusOK, kind: "application/json", cache: "public, max-age=300", body: body})
}

// tokenRequest answers for the token and revocation endpoints, and for the instance's token endpoint
// when the client is named by a URL.
func (r *Relay) tokenRequest(work context.Context, ctx *fasthttp.RequestCtx, path string) {
	if path == rootTokenPath {
		r.tokenAtRoot(work, ctx)
		return
	}
	if !r.only(ctx, "POST") {
		return
	}
	form, err := readForm(ctx)
	if path == revokePath {
		r.revokeOwn(work, ctx, form, err)
		return
	}
	r.grant(work, ctx, form, err)
}

// tokenAtRoot reads a token request on its way to the instance. What is not for us goes on, byte for
// byte.
func (r *Relay) tokenAtRoot(work context.Context, ctx *fasthttp.RequestCtx) {
	body, ok := r.readOrPass(ctx, maxForm)
	if !ok {
		return
	}
	form, err := once(string(body))
	isForm := !containsFold(ctx.Request.Header.ContentType(), "json") && !containsFold(ctx.Request.Header.ContentType(), "multipart")
	if !isForm || !oauth.IsClient(clientOf(body)) {
		r.web.PassBody(ctx, body)
		return
	}
	allowOrigin(ctx)
	r.grant(work, ctx, form, err)
}

// clientOf is the client_id of a form, however broken the rest is.
func clientOf(body []byte) string {
	form, _ := url.ParseQuery(string(bytes.TrimSpace(body)))
	return form.Get("client_id")
}

// grant answers a token request (OAuth 2.1 §3.2); err is what is wrong with its form.
func (r *Relay) grant(work context.Context, ctx *fasthttp.RequestCtx, form url.Values, err error) {
	var tokens oauth.Tokens
	if err == nil {
		err = r.admitSignIn(ctx)
	}
	if err == nil {
		tokens, err = r.exchange(work, form)
	}
	r.signIn.count("token", err)
	if err != nil {
		r.failGrant(ctx, err)
		return
	}
	writeJSON(ctx, fasthttp.StatusOK, map[string]any{
		"access_token": tokens.Access, "token_type": "Bearer", "expires_in": int(tokens.Expires / time.Second),
		"refresh_token": tokens.Refresh, "scope": strings.Join(tokens.Scopes, " "),
		"activitypub_actor_id": tokens.Actor,
	})
}

func (r *Relay) exchange(work context.Context, form url.Values) (oauth.Tokens, error) {
	client := form.Get("client_id")
	switch {
	case !oauth.IsClient(client):
		return oauth.Tokens{}, &oauth.Refusal{Code: "invalid_client", Detail: "client_id must be the URL of the client's document."}
	case form.Get("grant_type") == "authorization_code":
		return r.signIn.server.Exchange(work, oauth.Exchange{
			Code: form.Get("code"), ClientID: client, Redirect: form.Get("redirect_uri"), Verifier: form.Get("code_verifier"),
		})
	case form.Get("grant_type") == "refresh_token":
		return r.signIn.server.Refresh(work, form.Get("refresh_token"), client, form.Get("scope"))
	}
	return oauth.Tokens{}, &oauth.Refusal{
		Code: "unsupported_grant_type", Detail: "Use the grant authorization_code or refresh_token.",
	}
}

// failGrant is OAuth 2.1 §3.2.4: a code for the program, a sentence for its maker.
func (r *Relay) failGrant(ctx *fasthttp.RequestCtx, err error) {
	status, code, detail := fasthttp.StatusServiceUnavailable, "temporarily_unavailable", "This cannot be done now: try again later."
	refusal, isRefusal := errors.AsType[*oauth.Refusal](err)
	switch {
	case isRefusal:
		status, code, detail = fasthttp.StatusBadRequest, refusal.Code, refusal.Detail
	case errors.Is(err, errForm):
		status, code, detail = fasthttp.StatusBadRequest, "invalid_request", plain(err)
	case errors.Is(err, errTooOften):
		status, detail = fasthttp.StatusTooManyRequests, "Too many requests from one address: try again later."
	default:
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, seconds(0))
		r.log.Warn("token request could not be served", "error", err)
	}
	writeJSON(ctx, status, map[string]string{"error": code, "error_description": detail})
}

// revokeOwn is RFC 7009: 200 whether the token was one or not; only none at all is an error.
func (r *Relay) revokeOwn(work context.Context, ctx *fasthttp.RequestCtx, form url.Values, err error) {
	if err == nil {
		err = r.admitSignIn(ctx)
	}
	if err == nil && form.Get("token") == "" {
		err = &oauth.Refusal{Code: "invalid_request", Detail: "Send the token to be revoked."}
	}
	if err == nil {
		err = r.signIn.server.Revoke(work, form.Get("token"), form.Get("client_id"))
	}
	r.signIn.count("revoke", err)
	if err != nil {
		r.failGrant(ctx, err)
		return
	}
	writeJSON(ctx, fasthttp.StatusOK, struct{}{})
}

// revokeAtRoot ends a token of ours that was sent to the instance's own address for that.
func (r *Relay) revokeAtRoot(ctx *fasthttp.RequestCtx, token string) {
	work, cancel := context.WithTimeout(context.Background(), workTimeout)
	defer cancel()
	allowOrigin(ctx)
	r.revokeOwn(work, ctx, url.Values{"token": {token}}, nil)
}
