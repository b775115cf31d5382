"""What a report says, in Chinese: names, reasons and notes are turned phrase by phrase, the longest first.

Names of files, options and settings stay as they are; so do the abbreviations of the field.
"""

import re
from functools import cache

_PHRASES = """
not asked: it needs '--given (\\S+)', and this attacker has = 未提出：需要 --given \\1，而此攻击者只有
this attacker has too little to ask it = 此攻击者条件不足，无法提出
([\\d,]+) of ([\\d,]+) released pictures repeat another one, as photographs do that were learnt by heart; look whether they are one eye, and compare them with the training photographs = \\2 张发布图片中有 \\1 张与另一张重复，被记住的照片即如此；请查看是否为同一只眼，并与训练照片比对
none of ([\\d,]+) released pictures repeats another one; no alarm, which does not show that nothing leaks = \\1 张发布图片中无一重复；未见警报，但这不表明没有泄露
([\\d,]+) released pictures; ([\\d,]+) are the fewest = \\1 张发布图片；至少需 \\2 张
released pictures that repeat one another = 相互重复的发布图片
share of released pictures that repeat another = 重复另一张的发布图片比例
released pictures nearest to members, by (.+) = 与成员最接近的发布图片（\\1）
copies of photographs of members = 成员照片的副本
completion of the hidden half of a photograph = 补全照片被遮挡的一半
label inference by likelihood \\(diffusion classifier\\) = 以似然推断标签（扩散分类器）
photographs of one patient linked by the encoder = 编码器关联同一患者的照片
photographs looked up among released pictures by the encoder = 编码器在发布图片中查找照片
membership by what the generator makes of a photograph = 由生成器对照片的反应推断成员
membership by nearness to the released pictures = 由与发布图片的接近程度推断成员
membership by how well photograph and caption agree = 由照片与说明的吻合程度推断成员
membership by length and spread of embeddings = 由嵌入的长度与离散推断成员
the most exposed patients, by what the generator makes of a photograph = 暴露最多的患者（由生成器对照片的反应）
the most exposed patients, by nearness to the released pictures = 暴露最多的患者（由与发布图片的接近程度）
the most exposed patients, by how well photograph and caption agree = 暴露最多的患者（由照片与说明的吻合程度）
direct identifiers in captions = 说明文字中的直接标识
age, sex and race from captions = 由说明文字推断年龄、性别和种族
rare label combinations = 罕见的标签组合
property inference: composition of the cohort = 队列构成
read by a probe of other members = ，由其他成员训练的探针读出
read by prompts in both languages = ，由两种语言的提示语读出
read from the completed half = ，由补全的一半读出
read from embeddings = ，由嵌入读出
from captions = ，由说明文字推断
share of records that state it = 写明标识的记录比例
AUC beyond what labels tell = 超出标签所含信息的 AUC
difference of rates = 比例之差
difference of means = 均值之差
verification AUC, members minus non-members = 验证 AUC，成员减非成员
verification AUC of non-members = 非成员的验证 AUC
share found at rank 1, members minus non-members = 首位命中比例，成员减非成员
patients copied, members minus non-members = 被复制的患者，成员减非成员
share nearest to a member = 最接近成员的比例
distance to non-members minus distance to members = 与非成员的距离减去与成员的距离
distance to non-members = 与非成员的距离
distance to members = 与成员的距离
members who stand out = 突出的成员数
hits less false alarms = 命中减误报
needs --synthetic RECORDS with captions; none of these records has one = 需要带说明文字的 --synthetic RECORDS；这些记录均无说明
no identifier of these kinds found in ([\\d,]+) captions = 在 \\1 条说明文字中未发现这些类型的标识
([\\d,]+) of ([\\d,]+) released records may state who somebody is: = \\2 条发布记录中有 \\1 条可能写明是谁：
([\\d,]+) of ([\\d,]+) released records state who somebody is: = \\2 条发布记录中有 \\1 条写明是谁：
look at these ([\\d,]+) captions in (\\S+) = 请查看 \\2 中的这 \\1 条说明
kinds: names, ages, sex, race, dates, years of birth, places, numbers, telephones, e-mail; no list holds every name = 类型：姓名、年龄、性别、种族、日期、出生年份、地点、编号、电话、电子邮件；没有名单能列尽姓名
identifiers in (\\S+) of all captions or more are found with 80 % power = 全部说明中有 \\1 以上含标识时，能以 80 % 的把握发现
the members' own captions = 成员自己的说明文字
what labels tell of an attribute is medicine; what words add to it is a slip of the pen = 标签透露的属性属于医学；文字额外透露的是疏漏
a combination that fewer than (\\d+) patients share is what a generator learns by heart = 少于 \\1 名患者共有的组合会被生成器记住
AUC of captions, permuted people = 说明文字的 AUC（置换患者）
AUC of captions = 说明文字的 AUC
AUC of labels alone = 仅标签的 AUC
AUC of how clearly = 清晰程度的 AUC
released records whose combination one member has = 组合仅一名成员具有的发布记录
members with a rare combination that was released = 具有已发布罕见组合的成员
non-members with one = 具有此类组合的非成员
the same read from the half that was shown = 由可见的一半读出
it must have been trained on neither group: the independent generator is taken at its word = 独立生成器须未用两组训练：此处采信其说明
error against the independent generator's, non-members = 相对独立生成器的误差，非成员
error against the independent generator's, members = 相对独立生成器的误差，成员
the independent generator alone = 仅独立生成器
the audited generator alone = 仅被审计的生成器
the independent generator = 独立生成器
an independent generator = 一个独立生成器
the audited generator = 被审计的生成器
non-members guessed right by = 非成员猜对的比例：
members guessed right by = 成员猜对的比例：
of what is left to guess \\(Anonymeter's residual\\) = 占剩余可猜部分（Anonymeter 残差）
non-members guessed right = 非成员猜对的比例
members guessed right = 成员猜对的比例
non-members guessed = 非成员猜对的比例
members guessed = 成员猜对的比例
years of error less for members = 成员的年龄误差少的岁数
the attacker knows the attribute of four in five members and reads it of the fifth = 攻击者已知五分之四成员的属性，读取其余五分之一
non-members read by their like, mean over classes = 非成员由其同类读出的比例（各类平均）
members read by their like, mean over classes = 成员由其同类读出的比例（各类平均）
asked of the text tower by prompts alone; another wording may tell more = 仅以提示语询问文本塔；换一种措辞或能得到更多
the same prompts to an untrained encoder = 对未训练编码器的相同提示语
the same attack on an untrained encoder = 对未训练编码器的同一攻击
the same attack on pixels = 对像素的同一攻击
true-positive rate at (\\S+) % false positives = 假阳性率 \\1 % 时的真阳性率
([\\d,]+) of ([\\d,]+) members are above all but one in a thousand non-members = \\2 名成员中有 \\1 名高于除千分之一外的全部非成员
this attacker finds no number of members who are known with certainty; another may find fewer = 此攻击者发现不了任何数目的确知成员
this attacker finds (\\d+) members or more who are known with certainty; another may find fewer = 此攻击者能发现 \\1 名以上的确知成员；其他攻击者可能发现更少的
with these patients, this attacker finds a leak of (.+?) (\\S+) or more with 80 % power; another may find less = 以这些患者，此攻击者能以 80 % 的把握发现 \\1 \\2 以上的泄露；其他攻击者可能发现更小的
this attacker finds no leak up to (.+?) (\\S+) with 80 % power in so few patients = 患者过少，此攻击者无法以 80 % 的把握发现 \\1 \\2 以内的泄露
p adjusted for (\\d+) questions at most = p 按至多 \\1 问校正
embeddings link photographs of anyone; do not publish them patient by patient = 嵌入能关联任何人的照片；请勿逐患者公布
an alarm only: what copies nothing may still tell who was trained on, or of what sex = 仅为警报：不复制图片的模型仍可能透露成员身份或性别
tells of the hospital's cohort as a whole, such as its share of a disease; it protects the hospital, not a patient = 说的是医院整个队列，如某病的比例；它保护的是医院，而非患者
([\\d,]+) of ([\\d,]+) released pictures were searched, drawn at random; no copy among the others was seen = 随机检索了 \\2 张发布图片中的 \\1 张；其余未检索
released pictures searched for photographs of all = 张发布图片经检索，对照全部
([\\d,]+) of ([\\d,]+) released pictures copy photographs of ([\\d,]+) members = \\2 张发布图片中有 \\1 张复制了 \\3 名成员的照片
([\\d,]+) of ([\\d,]+) released pictures copy photographs of ([\\d,]+) patients = \\2 张发布图片中有 \\1 张复制了 \\3 名患者的照片
are copies of these members that such a search can tell = 是此检索能辨认的成员副本
copies of non-members, share of released pictures = 非成员的副本占发布图片的比例
copies of members, share of released pictures = 成员的副本占发布图片的比例
, all of them said not to be trained on = （据称均未用于训练）
, (\\d+) of them said not to be trained on = （其中 \\1 名据称未用于训练）
add the column '(\\w+)' to --(\\w+) = 请在 --\\2 中加入列 '\\1'
no verified copy among = 未核实到副本，共
(\\d+) verified among = 核实到 \\1 份副本，共
one half of the non-members against the other = 非成员的一半对另一半
one half of the members against the other = 成员的一半对另一半
null split of the non-members = 非成员的零拆分
null split of one group = 一组的零拆分
null split = 零拆分
non-members against non-members = 非成员对非成员
baseline separability = 基线可分性
reference separability = 参照可分性
labels and files alone, without a model = 仅标签与文件，不用模型
noise, sharpness and compression alone, without a model, at (\\d+) pixels = 仅噪声、锐度与压缩，不用模型，\\1 像素
captions alone, without a model = 仅说明文字，不用模型
pixels alone, without a model = 仅像素，不用模型
the groups differ \\(AUC ([\\d.]+), ([\\d.]+) to ([\\d.]+)\\); draw both from the same source at random = 两组有差异（AUC \\1，\\2 至 \\3）；请从同一来源随机抽取两组
the independent generator, which saw neither group = 独立生成器（两组均未见过）
the generator that comes with visionclip, which saw neither group = visionclip 自带的生成器（两组均未见过）
tells the groups apart \\(AUC ([\\d.]+), ([\\d.]+) to ([\\d.]+)\\), so the groups differ in more than membership; draw both from the same source and camera at random = 能区分两组（AUC \\1，\\2 至 \\3），故两组的差异不止于成员身份；请从同一来源、同一相机随机抽取两组
(\\d+) of (\\d+) pairs of random halves of one group differ at p < ([\\d.]+) = 一组的 \\2 对随机两半中有 \\1 对在 p < \\3 时有差异
([\\d.]+%) of the non-members have a picture that a member has, saved again; remove duplicates = \\1 的非成员拥有与成员相同、重新保存的图片；请去重
([\\d.]+%) of the non-members have a picture that a member has; remove duplicates = \\1 的非成员拥有与成员相同的图片；请去重
([\\d.]+%) of patients have the same picture in the other group; remove duplicates = \\1 的患者在另一组有相同图片；请去重
([\\d.]+%) of patients share a picture with another; remove duplicates = \\1 的患者与他人共有图片；请去重
labels of other patients are guessed better in one group than in the other = 其他患者的标签在一组中更易猜中
labels of other patients = 其他患者的标签
labels of the same combination = 相同组合的标签
duplicates = 重复图片
untrained encoders = 未训练的编码器
an untrained encoder = 未训练的编码器
an untrained network = 未训练的网络
not calibrated = 未校准
denoising error = 去噪误差
colours and thumbnails = 颜色与缩略图
registered photographs = 配准的照片
nearest neighbours = 最近邻
a small neural network = 小型神经网络
permuted labels are predicted too \\(([\\d.]+)\\); patients are mixed up = 置换后的标签也能预测（\\1）；患者混淆
permuted labels = 置换标签
balanced accuracy = 平衡准确率
codelength \\(bits per patient\\) = 码长（每名患者的比特数）
MAE \\(years\\) = 平均绝对误差（岁）
the encoder = 编码器
the prior = 先验
metadata = 元数据
diagnoses = 诊断
pixels = 像素
identity = 身份
needs age, sex or race of the members, and their captions = 需要成员的年龄、性别或种族及其说明文字
needs --attackers RECORDS of real patients; drawn phantoms teach nobody to read real eyes = 需要真实患者的 --attackers RECORDS；仿体教不会识读真实眼底
embeddings of photographs read no prompts; give the checkpoint as --model = 照片的嵌入读不了提示语；请以 --model 给出检查点
embeddings made elsewhere read no captions; needs --model ckpt.pt = 外来的嵌入读不了说明文字；需要 --model ckpt.pt
captions of members and of non-members are in different languages = 成员与非成员的说明语言不同
lacks captions; needs --members and --nonmembers in which every photograph has one = 缺少说明文字；--members 与 --nonmembers 的每张照片都须有说明
--model ckpt.pt, a CLIP checkpoint or embeddings = --model ckpt.pt（CLIP 检查点或嵌入）
--generator FOLDER, a generator of 'synth train' = --generator FOLDER（synth train 的生成器）
--synthetic FOLDER, the released records = --synthetic FOLDER（发布的记录）
--members RECORDS, photographs of patients that were trained on = --members RECORDS（训练患者的照片）
--nonmembers RECORDS, photographs of other patients of the same source = --nonmembers RECORDS（同一来源其他患者的照片）
--attackers RECORDS, photographs of patients whose age, sex or race the attacker knows = --attackers RECORDS（攻击者知其年龄、性别或种族的患者照片）
--independent FOLDER, a generator that was trained on other patients = --independent FOLDER（用其他患者训练的生成器）
needs more patients, or labels in --members and --nonmembers = 需要更多患者，或 --members 与 --nonmembers 中的标签
needs an untrained encoder of the same architecture; audit the checkpoint = 需要同一结构的未训练编码器；请审计检查点
was not asked for; name it in --attributes = 未要求检验；请在 --attributes 中列出
needs  = 需要 
the (\\w+) of too few members and non-members is known = 已知其\\1的成员与非成员过少
too few members and non-members whose (\\w+) is known = 已知其\\1的成员与非成员过少
the (\\w+) of too few (\\w+) is known to learn from = 已知其\\1的患者过少（--\\2）
too few patients of the same (\\w+) in both groups = 两组中\\1相同的患者过少
too few patients to try; about ([\\d,]+) would decide = 患者过少；约需 \\1 名方能定论
no record states it = 没有记录写明
a group of ([\\d,]+) patients; ([\\d,]+) are the fewest, about ([\\d,]+) decide = 一组仅 \\1 名患者；至少 \\2 名，约 \\3 名方能定论
a group of ([\\d,]+) patients; at least (\\d+) are needed = 一组仅 \\1 名患者；至少需要 \\2 名
([\\d,]+) patients of a group have two photographs or more; at least (\\d+) are needed = 一组中有两张以上照片的患者为 \\1 名；至少需要 \\2 名
([\\d,]+) patients of a group and ([\\d,]+) released pictures; at least (\\d+) and 2 are needed = 一组 \\1 名患者、\\2 张发布图片；至少需要 \\3 名与 2 张
([\\d,]+) patients a group have no duplicate in the other; at least (\\d+) are needed = 每组 \\1 名患者在另一组无重复；至少需要 \\2 名
no label of a disease has two values with (\\d+) patients of each group = 没有疾病标签的两个取值在每组各有 \\1 名患者
no two patients of each group have the same labels = 各组中没有标签相同的两名患者
(\\d+) patients with contradictory records left out = 略去记录矛盾的患者 \\1 名
(\\d+) patients in whom it is unknown left out = 略去未知的患者 \\1 名
class '(.+?)' left out: fewer than (\\d+) patients = 略去少于 \\2 名患者的类别“\\1”
an encoder of the same kind trained on real photographs = 用真实照片训练的同类编码器
the upper anchor; audit it with the same --attackers = 上限参照；请用相同的 --attackers 审计
attributes with diagnoses held constant = 诊断不变时的属性
a disease may give the age away; what diagnoses alone give away stands beside the encoder = 疾病可能透露年龄；仅由诊断透露的部分列在编码器旁
what was asked found nothing, and ([\\d,]+) questions are open = 已检验的各问未发现泄露，尚有 \\1 问未检验
no attack asks this yet = 尚无攻击检验此问
asked of T1 alone = 仅 T1 检验
capability, affects every future patient, not evidence of memorisation = 属于能力，影响今后每名患者，并非记忆的证据
lower bound of (\\S+) (\\S+) > (\\S+), p\\s=\\s([\\d.e-]+) = \\1 下限 \\2 > \\3，p = \\4
upper bound of (\\S+) (\\S+) < (\\S+), for linear probes of this size = \\1 上限 \\2 < \\3（此规模的线性探针）
the interval of (\\S+) (\\S+) to (\\S+) decides neither way \\(p\\s=\\s([\\d.e-]+)\\) = \\1 区间 \\2 至 \\3 不能定论（p = \\4）
is below chance: the groups differ in a way that this attack does not expect, and one turned around may use = 低于随机水平：两组存在此攻击未预期的差异，反向攻击或可利用
decides neither way = 不能定论
about ([\\d,]+) patients would = 约 \\1 名患者可定论
follows part \\(a\\) = 随第一部分
at least (\\S+) AUC better than every control = 比每个对照至少高 AUC \\1
at least (\\S+) years better than every control = 比每个对照至少好 \\1 岁
at most (\\S+) (AUC|years) better than (.+?): a property of the photograph = 至多比\\3好 \\1 \\2：属于照片本身的性质
(\\S+) to (\\S+) (AUC|years) better than (.+?) decides neither way = 比\\4好 \\1 至 \\2 \\3，不能定论
([\\d.]+) is what non-members give = 非成员的水平为 \\1
the upper bound is below (\\S+) = 上限低于 \\1
no alarm, which does not show that nothing leaks = 无警报，但不表示没有泄露
, yet (.+): this attack overlooks them = ，但\\1：此攻击察觉不到它们
, yet (.+) \\((\\w+)\\) is not what was trained on by its own account \\((.+)\\); give the records of the training, whole, as --members = ，但据模型自身的记载（\\3），训练所用的并非 \\1（\\2）；请以 --members 给出训练所用的全部记录
near-certain = 近乎确定
all ([\\d,]+) members and ([\\d,]+) non-members = 全部 \\1 名成员与 \\2 名非成员
([\\d,]+) members = \\1 名成员
([\\d,]+) non-members = \\1 名非成员
([\\d,]+) patients = \\1 名患者
guessed: = 猜测：
mark of removal = 删改痕迹
year of birth = 出生年份
age over 89 = 89 岁以上
identity number = 身份证号
 in (\\d[\\d,]*) = ：\\1
(\\d+) candidates = \\1 个候选
(\\d+) to (\\d+) years = \\1 至 \\2 岁
"""
_WORDS = {
    "strong": "强", "weak": "弱", "trace": "微弱", "female": "女", "male": "男", "age": "年龄", "sex": "性别", "race": "种族",
    "name": "姓名", "date": "日期", "place": "地点", "number": "编号", "phone": "电话", "e-mail": "电子邮件",
    "among": "，共", "and": "与", "at most": "至多", "to": "至", "records": "记录", "years": "岁", "untrained": "未训练", "patients": "患者",
}  # fmt: skip

_MARKS = [
    (re.compile(pattern), mark)
    for pattern, mark in (
        (r"(?<=[一-鿿）])\s*[;,]\s+|\s*[;,]\s+(?=[一-鿿])", "；"),
        (r"(?<=[一-鿿）]):\s+", "："),
        (r"\s+(?=[，；：）])|(?<=[，；：（])\s+|(?<=[一-鿿）])\s+(?=[一-鿿])", ""),
    )
]
"""Of half width beside Chinese, and spaces that Chinese does not have, with what stands in their place."""


@cache
def _rules() -> list[tuple[re.Pattern[str], str]]:
    rows = [line.split(" = ", 1) for line in _PHRASES.strip("\n").split("\n")]
    rows.sort(key=lambda row: -len(row[0]))
    rules = [
        (re.compile(rf"(?<![A-Za-z-]){pattern}(?![A-Za-z])" if pattern[0].isalpha() else pattern), chinese)
        for pattern, chinese in rows
    ]
    return [
        *rules,
        *(
            (re.compile(rf"(?<![A-Za-z0-9_./'-]){word}(?![A-Za-z0-9_./'-])"), chinese)
            for word, chinese in _WORDS.items()
        ),
    ]


def translated(text: str) -> str:
    """A sentence of a report in Chinese; what it has no phrase for stays in English."""
    for pattern, chinese in _rules():
        text = pattern.sub(chinese, text)
    for pattern, mark in _MARKS:
        text = pattern.sub(mark, text)
    return text
